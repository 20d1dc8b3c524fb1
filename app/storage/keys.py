"""Which object keys are accepted. The same rule for every store, so that a job can move from a disk to a bucket."""

import re
from urllib.parse import unquote

from app.errors import StorageError

MAX_KEY_BYTES = 1024  # the bound of S3
_MAX_NAME_BYTES = 200  # of one component; file systems take 255, and a temporary name adds a suffix
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def checked_key(key: str) -> str:
    """The key itself, or StorageError that says what is wrong with it.

    Refused, also when percent-encoded: empty names, names that begin with a dot (so `..` and temporary names),
    a leading or closing slash, backslashes, control and other unprintable characters.
    """
    for form in (key, unquote(key)) if _ESCAPE.search(key) else (key,):
        problem = _problem(form)
        if problem:
            raise StorageError(f"object key {key!r} is refused: {problem}")
    return key


def checked_prefix(prefix: str) -> str:
    """A prefix of keys: empty, or a key that may end in a slash."""
    if prefix:
        checked_key(prefix.removesuffix("/"))
    return prefix


def _problem(key: str) -> str:
    if not key.isprintable() or "\\" in key:
        return "it has a backslash or a character that cannot be printed"
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"it is longer than {MAX_KEY_BYTES} bytes"
    for name in key.split("/"):
        if not name or name.startswith((".", "~")):
            return "each name between slashes must be there and must not begin with a dot or a tilde"
        if len(name.encode()) > _MAX_NAME_BYTES:
            return f"a name between slashes is longer than {_MAX_NAME_BYTES} bytes"
    return ""
