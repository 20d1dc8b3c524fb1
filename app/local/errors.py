"""What goes wrong on a laptop, in words for the person at the keyboard."""

from app.errors import HaulageError


class LocalError(HaulageError):
    """An embedded server or a process could not be started; the message says why and what to do."""
