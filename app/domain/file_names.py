"""The name of a result's file: `metaData.fileName` with its dates written out (reference 9), safe to save under.

A name is text with `{pattern}` parts, each one of the documented patterns of Java's SimpleDateFormat. Dates are in UTC
and English; the vendor's documentation names neither zone nor language.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

PATTERNS = (
    "yyyy-MM-dd'T'HH:mm:ssXXX",
    "yyyy-MM-dd'T'HH:mm:ss'Z'",
    "yyyy-MM-dd'T'HH:mm:ss.SXXX",
    "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "yyyy-MM-dd'T'HH:mm:ss.SSSZ",
    "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
    "yyyy-MM-dd HH:mm:ss",
    "yyyy.MM.dd G 'at' HH:mm:ss z",
    "h:mm a",
    "yyyyy.MMMMM.dd GGG hh:mm aaa",
    "yyMMddHHmmssZ",
)
"""What may stand in braces."""

EXTENSIONS = ("jsonl", "json", "csv")
LONGEST_WISH = 200

_LONGEST_BYTES = 180  # file systems take 255; extension, `.gz` and what a browser adds must fit
_BRACES = re.compile(r"\{([^{}]*)\}")
_PARTS = re.compile(r"'([^']*)'|(([A-Za-z])\3*)")
_KNOWN_EXTENSION = re.compile(rf"\.(?:{'|'.join(EXTENSIONS)})$", re.IGNORECASE)
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


class FileNameError(ValueError):
    """The wished name cannot be used; the text says what is accepted."""


def check(wish: str) -> str:
    """The wish as it is. Raises FileNameError: unknown date pattern, lone brace, too long, or nothing of a name."""
    if not 0 < len(wish) <= LONGEST_WISH:
        raise FileNameError(f"fileName has {len(wish)} characters; 1 to {LONGEST_WISH} are accepted.")
    for match in _BRACES.finditer(wish):
        if match[1] not in PATTERNS:
            raise FileNameError(
                f"fileName {wish!r} has the date pattern {match[1]!r}; accepted: {'; '.join(PATTERNS)}."
            )
    if set("{}") & set(_BRACES.sub("", wish)):
        raise FileNameError(f"fileName {wish!r} has a brace without its partner: braces stand around a date pattern.")
    if not _safe(_dated(wish, datetime(2000, 1, 1))):  # noqa: DTZ001 - any moment will do
        raise FileNameError(f"fileName {wish!r} names no file: it needs a character that a file's name may have.")
    return wish


def render(wish: str, moment: datetime, extension: str) -> str:
    """The file's name: dates of `moment` (in UTC) filled in, no folder, nothing invisible, and the extension.

    An extension of another of our formats is replaced, so that a name never tells the wrong one. Raises FileNameError.
    """
    name = _KNOWN_EXTENSION.sub("", _safe(_dated(check(wish), moment))) or "result"
    return f"{_cut(name)}.{extension}"


def _dated(wish: str, moment: datetime) -> str:
    return _BRACES.sub(lambda match: dated(match[1], moment), wish)


def dated(pattern: str, moment: datetime) -> str:
    """One of PATTERNS, written out."""

    def part(match: re.Match[str]) -> str:
        return match[1] if match[3] is None else _LETTERS[match[3]](moment, len(match[2]))

    return _PARTS.sub(part, pattern)


def _year(moment: datetime, width: int) -> str:
    short = 2  # `yy`
    return f"{moment.year % 100:02}" if width == short else f"{moment.year:0{width}}"


def _month(moment: datetime, width: int) -> str:
    longest_number = 2
    return _MONTHS[moment.month - 1] if width > longest_number else f"{moment.month:0{width}}"


# Java's letters, each given the moment and how many stand together.
_LETTERS: dict[str, Callable[[datetime, int], str]] = {
    "y": _year,
    "M": _month,
    "d": lambda moment, width: f"{moment.day:0{width}}",
    "H": lambda moment, width: f"{moment.hour:0{width}}",
    "h": lambda moment, width: f"{moment.hour % 12 or 12:0{width}}",
    "m": lambda moment, width: f"{moment.minute:0{width}}",
    "s": lambda moment, width: f"{moment.second:0{width}}",
    "S": lambda moment, width: f"{moment.microsecond // 1000:0{width}}",
    "G": lambda _moment, _width: "AD",
    "a": lambda moment, _width: "AM" if moment.hour < 12 else "PM",  # noqa: PLR2004 - noon
    "X": lambda _moment, _width: "Z",
    "Z": lambda _moment, _width: "+0000",
    "z": lambda _moment, _width: "UTC",
}


def _safe(name: str) -> str:
    """What follows the last slash, without what cannot be seen, nor dots and blanks at its ends."""
    import unicodedata  # a megabyte, which workers do without

    last = re.split(r"[/\\]", name)[-1]
    seen = "".join("_" if unicodedata.category(sign) in _UNSEEN else sign for sign in last)
    return seen.strip(" .")


def _cut(name: str) -> str:
    return name.encode()[:_LONGEST_BYTES].decode(errors="ignore").rstrip(" .")
