"""Reading `multipart/form-data` part by part, none of it held in memory (RFC 7578, RFC 2046 5.1).

Werkzeug's decoder takes what lies at the edge of two reads for content at times: a file's end gets a carriage return
more, or a delimiter with blanks behind it is missed. A file must arrive byte for byte, however the network cut it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from werkzeug.http import parse_options_header

from app.errors import InvalidInputError

MOST_PARTS = 100
MOST_HEAD_BYTES = 16 * 1024
"""Of the headers of one part."""
LONGEST_BOUNDARY = 200
_MOST_PREAMBLE_BYTES = 64 * 1024
_MOST_BLANKS = 64  # between a delimiter and the end of its line
_ACCEPTED = "parts between lines of `--` and the boundary, the last of them with `--` behind it, are accepted."


class MultipartError(InvalidInputError):
    """The body is not what its Content-Type says; the text tells where it stops making sense."""


@dataclass(frozen=True)
class Part:
    """One part. `content` gives its bytes in pieces, once; what is not taken is skipped with the next part."""

    name: str
    headers: dict[str, str] = field(repr=False)
    """By lower-case name."""
    content: Iterator[bytes] = field(repr=False)


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names. Raises MultipartError without a usable one."""
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not (0 < len(boundary) <= LONGEST_BOUNDARY and boundary.isascii() and boundary.isprintable()):
        raise MultipartError(
            f"Content-Type names no usable boundary; `multipart/form-data; boundary=` and 1 to {LONGEST_BOUNDARY}"
            " printable ASCII characters are accepted. Clients set it by themselves: do not set the header by hand.",
            field="Content-Type",
        )
    return boundary.encode()


def read_parts(pieces: Iterable[bytes], boundary: bytes) -> Iterator[Part]:
    """The parts of a body that comes in pieces of any size. Raises MultipartError, and whatever `pieces` raises.

    The end of the body is read too, so that the connection can be used again.
    """
    return _Reader(iter(pieces), b"--" + boundary).parts()


class _Reader:
    def __init__(self, pieces: Iterator[bytes], delimiter: bytes) -> None:
        self._pieces = pieces
        self._delimiter = delimiter
        self._held = bytearray()
        self._newline = b"\r\n"
        self._is_last = False

    def parts(self) -> Iterator[Part]:
        self._begin()
        count = 0
        while not self._is_last:
            count += 1
            if count > MOST_PARTS:
                raise MultipartError(f"The body has more than {MOST_PARTS} parts; `file` and `metaData` are needed.")
            headers = self._headers()
            content = self._content()
            yield Part(_name_of(headers), headers, content)
            for _ in content:
                pass
        for _ in self._pieces:
            pass

    def _begin(self) -> None:
        """Skip what stands before the first delimiter. Its line shows how the client ends lines."""
        skipped = 0
        while True:
            line = self._line(_MOST_PREAMBLE_BYTES, "before the first boundary")
            rest = line.removeprefix(self._delimiter)
            if rest != line and rest.strip() in {b"", b"--"}:
                self._newline = b"\r\n" if line.endswith(b"\r\n") else b"\n"
                self._is_last = rest.strip() == b"--"
                return
            skipped += len(line)
            if skipped > _MOST_PREAMBLE_BYTES:
                raise MultipartError(f"The body does not begin with the boundary of its Content-Type; {_ACCEPTED}")

    def _headers(self) -> dict[str, str]:
        lines: list[bytes] = []
        room = MOST_HEAD_BYTES
        while (line := self._line(room, "in the headers of a part")).strip(b"\r\n"):
            room -= len(line)
            if lines and line[:1] in b" \t":  # goes on with the line above
                lines[-1] += line
            else:
                lines.append(line)
        # This end of a line is that of the delimiter too where the part is empty.
        self._held[:0] = self._newline
        return dict(_header(line) for line in lines)

    def _content(self) -> Iterator[bytes]:
        mark = self._newline + self._delimiter
        begin, look_at = len(self._newline), 0
        while True:
            at = self._held.find(mark, look_at)
            end = max(at, begin) if at >= 0 else len(self._held) - len(mark) + 1
            if end > begin:
                yield self._taken(begin, end)
                at, begin = at - end, 0
            if at < 0:
                look_at = 0
                self._more("in the content of a part")
                continue
            if self._is_end(at + len(mark)):
                return
            look_at = at + len(mark)

    def _taken(self, begin: int, end: int) -> bytes:
        """These bytes; what lies up to their end is let go."""
        with memoryview(self._held) as held:
            taken = bytes(held[begin:end])
        del self._held[:end]
        return taken

    def _is_end(self, at: int) -> bool:
        """Whether the text before `at` is a delimiter; then it is let go, with the rest of its line."""
        while True:
            rest = bytes(self._held[at : at + _MOST_BLANKS + 2])
            if rest.startswith(b"--"):
                self._is_last = True
                del self._held[:]
                return True
            behind = rest.lstrip(b" \t")
            if behind.startswith(self._newline):
                del self._held[: at + len(rest) - len(behind) + len(self._newline)]
                return True
            may_go_on = self._newline.startswith(behind) and len(rest) - len(behind) <= _MOST_BLANKS
            if not (may_go_on or rest == b"-"):
                return False
            self._more("in a boundary")

    def _line(self, room: int, where: str) -> bytes:
        """The next line with its end, at most so many bytes."""
        look_at = 0
        while (at := self._held.find(b"\n", look_at)) < 0 and len(self._held) <= room:
            look_at = len(self._held)
            self._more(where)
        if not 0 <= at <= room:
            raise MultipartError(f"The body has too many bytes {where}; {_ACCEPTED}")
        return self._taken(0, at + 1)

    def _more(self, where: str) -> None:
        piece = next(self._pieces, b"")
        if not piece:
            raise MultipartError(f"The body ends {where}; {_ACCEPTED}")
        self._held += piece


def _header(line: bytes) -> tuple[str, str]:
    name, colon, value = line.decode(errors="replace").partition(":")
    if not colon or not name.strip():
        raise MultipartError("A part has a header that is no `name: value`.")
    return name.strip().lower(), " ".join(value.split())


def _name_of(headers: dict[str, str]) -> str:
    kind, options = parse_options_header(headers.get("content-disposition"))
    if kind.lower() != "form-data" or "name" not in options:
        raise MultipartError("A part has no name; `Content-Disposition: form-data; name=…` is accepted.")
    return options["name"]
