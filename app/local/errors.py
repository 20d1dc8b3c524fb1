"""What goes wrong on a laptop, in words for the person at the keyboard."""


class LocalError(Exception):
    """An embedded server or a process could not be started; the message says why and what to do."""
