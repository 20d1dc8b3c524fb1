"""Character sets of files: which one, and from bytes to text and back to how many bytes a piece of text took.

What cannot be decoded becomes halves of surrogate pairs, as many as there were units: such a text still tells its
length, and cannot be encoded, so the row that holds it is a bad one and the others are not touched.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.domain.rows.model import UnreadableInputError, shown

_STAND_INS = "haulage.stand_ins"
_FIRST_STAND_IN = 0xDC00

# Longest first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNIT_BYTES = {"utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}
_NO_ORDER = frozenset({"utf-16", "utf-32"})

_BY_LINE = frozenset(
    {
        "big5", "big5hkscs", "cp932", "cp949", "cp950", "euc_jis_2004", "euc_jisx0213", "euc_jp", "euc_kr", "gb18030",
        "gb2312", "gbk", "hz", "iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3",
        "iso2022_jp_ext", "johab", "shift_jis", "shift_jis_2004", "shift_jisx0213", "utf-7",
    }
)  # fmt: skip
"""Several bytes a character, some with shifts: decoded by line, since no character tells how many bytes it took."""
_NO_CHARSETS = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "iso2022_kr"})
"""Escapes of Python; and one whose later lines mean nothing without its first."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.: -]{0,39}")
_ACCEPTED = "accepted: utf-8, utf-16, utf-32, windows-1252, iso-8859-1, shift_jis, gb18030 and all others of Python"


@dataclass(frozen=True)
class Charset:
    """One way to write text. `name` is Python's, with the order of its bytes."""

    name: str

    @property
    def is_by_line(self) -> bool:
        """Only whole lines of it can be decoded and measured."""
        return self.name in _BY_LINE

    def width(self, text: str) -> int:
        """How many bytes of the file these characters took. Not for one that goes by line."""
        if self.name == "utf-8":
            return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))
        if self.name.startswith("utf-16"):
            return len(text.encode("utf-16-le", "surrogatepass"))
        return len(text) * _UNIT_BYTES.get(self.name, 1)

    def texts(self, chunks: Iterable[bytes], *, is_whole: bool = True) -> Iterator[str]:
        """The text of the chunks. A CR that may be half of a line's end is kept for the next one."""
        decoder = codecs.getincrementaldecoder(self.name)(_STAND_INS)
        kept = ""
        for chunk in chunks:
            text = kept + decoder.decode(chunk)
            kept = "\r" if text.endswith("\r") else ""
            yield text[:-1] if kept else text
        if is_whole:
            yield kept + decoder.decode(b"", final=True)

    def line(self, raw: bytes) -> str | None:
        """The text of a whole line; None if it does not end as it began, so that the next one means something else."""
        decoder = codecs.getincrementaldecoder(self.name)(_STAND_INS)
        fresh = decoder.getstate()
        text = decoder.decode(raw)
        _, state = decoder.getstate()
        return text + decoder.decode(b"", final=True) if state == fresh[1] else None


def charset_of(head: bytes, stated: str) -> tuple[Charset, int]:
    """The character set of a file that begins so, and how many bytes its byte order mark takes.

    By the name that was stated, the mark, or else UTF-8. Raises UnreadableInputError: the name is unknown, or the mark
    says otherwise.
    """
    name = _canonical(stated) if stated else ""
    for mark, marked in _MARKS:
        if head.startswith(mark):
            if name and name != marked and not (name in _NO_ORDER and marked.startswith(name)):
                raise UnreadableInputError(
                    f"metaData.encoding is {shown(stated)}, but the file begins with the byte order mark of {marked}; "
                    f"leave the encoding away, or say {marked}"
                )
            return Charset(marked), len(mark)
    if name in _NO_ORDER:
        return Charset(name + _likely_order(head)), 0
    return Charset(name or "utf-8"), 0


def _likely_order(head: bytes) -> str:
    """Most characters of any file with delimiters have zeros in front."""
    return "-be" if head[:1] == b"\0" else "-le"


def _canonical(stated: str) -> str:
    """Python's name for it. Raises UnreadableInputError."""
    name = _name_in_python(stated) if _NAME.fullmatch(stated) else None
    if name is None or name in _NO_CHARSETS:
        raise UnreadableInputError(f"metaData.encoding {shown(stated)} is no character set known here; {_ACCEPTED}")
    return "utf-8" if name == "utf-8-sig" else name


def _name_in_python(stated: str) -> str | None:
    """None for what is unknown, or turns bytes into something else than text."""
    try:
        b"a\0\0\0".decode(stated, "replace")
        return codecs.lookup(stated).name
    except (LookupError, UnicodeError):
        return None


def _stand_ins(error: UnicodeError) -> tuple[str, int]:
    """Half of a surrogate pair for each unit that cannot be decoded; a byte can be told from it."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    unit = 4 if "32" in error.encoding else 2 if "16" in error.encoding else 1
    wrong = error.object[error.start : error.end]
    if unit == 1:
        return "".join([chr(_FIRST_STAND_IN + byte) for byte in wrong]), error.end
    return chr(_FIRST_STAND_IN) * -(-len(wrong) // unit), error.end


codecs.register_error(_STAND_INS, _stand_ins)
