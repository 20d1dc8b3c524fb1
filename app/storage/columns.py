"""CSV columns: how a nested field is named, and which names the records of a block bring.

A column is spelled as the path of its field, names joined with dots. A dot or backslash that belongs to a name itself
has a backslash before it in this (stored) spelling, so that `{"a.b": 1}` and `{"a": {"b": 1}}` stay apart. U+0000,
which PostgreSQL keeps in no text, is a backslash and a 0. The header row shows the names joined with plain dots. A
record that is no object counts as `{"value": record}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from msgspec import Raw

from app.errors import TooManyColumnsError
from app.storage.json_text import decoded, is_object, mended
from app.storage.learning import LearnedPattern
from app.storage.lines import pieces_of_lines
from app.storage.shape import Path, Shape

MAX_COLUMNS = 10_000
MAX_DEPTH = 32  # deeper objects are cells of JSON text
LONE_VALUE = "value"

_PIECE_BYTES = 128 * 1024  # what is decoded at once stays in the processor's cache: a third less time than 1 MiB

_NAME = re.compile(r"((?:[^.\\]|\\.)*)(?:\.|$)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def spelled(path: Path) -> str:
    r"""`("a.b", "c")` -> `a\.b.c`."""
    return ".".join(re.sub(r"([.\\])", r"\\\1", name).replace("\0", "\\0") for name in path)


def path_of(column: str) -> Path:
    """The inverse of `spelled`."""
    names = []
    at = 0
    while True:
        match = _NAME.match(column, at)
        if match is None:
            raise ValueError(f"column {column!r} ends in a lone backslash")
        names.append(_ESCAPE.sub(lambda found: "\0" if found[1] == "0" else found[1], match[1]))
        at = match.end()
        if at == match.end(1):
            return tuple(names)


def header_name(column: str) -> str:
    """The column as the header row shows it."""
    return ".".join(path_of(column))


class ColumnScanner:
    """Collects column names in the order in which records bring them.

    Blocks without new names, nearly all, are only checked: by a pattern for records that are laid out like others
    before them, else by one decoding into a structure of the names known so far, which refuses any other name.
    """

    def __init__(self, known_columns: Iterable[str] = ()) -> None:
        self._known = dict.fromkeys(path_of(column) for column in known_columns)
        self._taken_count = len(self._known)
        self._shape: Shape | None = None
        self._learned = LearnedPattern()

    def take_new(self) -> tuple[str, ...]:
        """The names found since the last time and not known before, in the order in which they were first seen."""
        new = tuple(spelled(path) for path in islice(self._known, self._taken_count, None))
        self._taken_count = len(self._known)
        return new

    def scan(self, block: bytes) -> None:
        """Take in the names of a block of whole JSON lines; TooManyColumnsError, or StorageError for no JSON."""
        for piece in pieces_of_lines(block, _PIECE_BYTES):
            odd = self._odd_lines(piece)
            if odd and (self._shape is None or not self._shape.covers(odd)):
                self._learn(odd)
            self._learned.note(odd, len(piece) - len(odd))

    def _odd_lines(self, piece: bytes) -> bytes:
        """Those that are not laid out as records before them, whose names are known."""
        pattern = self._learned.compiled
        return b"".join(pattern.findall(piece)) if pattern else piece

    def _learn(self, block: bytes) -> None:
        before = len(self._known)
        for record in block.split(b"\n"):
            if record:
                self._known.update(dict.fromkeys(_paths(Raw(mended(record.strip())[0]))))
        if len(self._known) > MAX_COLUMNS:
            raise TooManyColumnsError(
                f"the records have more than {MAX_COLUMNS} different fields, too many for CSV: "
                "choose fields, or JSON Lines"
            )
        if self._shape is None or len(self._known) > before:
            self._shape = Shape(list(self._known), closed=True)


def _paths(record: Raw) -> Iterator[Path]:
    if is_object(record):
        yield from _paths_within(record, ())
    else:
        yield (LONE_VALUE,)


def _paths_within(value: Raw, path: Path) -> Iterator[Path]:
    for name, inner in decoded(value).items():
        inner_path = (*path, name)
        if len(inner_path) < MAX_DEPTH and is_object(inner):
            yield from _paths_within(inner, inner_path)
        else:
            yield inner_path
