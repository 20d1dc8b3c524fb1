"""A result in the format that was asked for, rendered from segments in flat memory, from any byte on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from app.domain.segments import Segment, column_union, etag, total_plain_bytes, total_records
from app.storage import deflate
from app.storage.chunks import headed, without_first
from app.storage.columns import ColumnScanner
from app.storage.csv_rows import CsvRows
from app.storage.gzip_member import GzipMember
from app.storage.json_text import with_values_as_strings
from app.storage.lines import whole_lines
from app.storage.objects import ObjectStore
from app.storage.packing import (
    Compression,
    Envelope,
    byte_copy,
    byte_copy_length,
    most_packed,
    packed_on_the_fly,
    packed_segments,
    pieces_of_byte_copy,
    stored_stream,
)
from app.storage.reading import iter_plain, iter_plain_from, iter_segment
from app.storage.zip_archive import ZipArchive

__all__ = ["CONTENT_TYPES", "Compression", "Format", "Rendered", "render", "scan_columns", "with_columns"]

Format = Literal["jsonl", "json", "csv"]

CONTENT_TYPES: dict[Format, str] = {
    "jsonl": "application/jsonl",
    "json": "application/json",
    "csv": "text/csv",  # bare: clients compare for equality (reference 3d)
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A body to send. `content_length` is None where only rendering tells it.

    `chunks_from(start)` gives the bytes from `start` on and reads the store while it is consumed: close it if it is not
    consumed to its end. Damage shows as StorageError in the middle; the answer must then be broken off.
    `replaced_count` gives the unpaired surrogates replaced so far (CSV only).
    """

    chunks_from: Callable[[int], Iterator[bytes]]
    content_length: int | None
    content_type: str
    content_encoding: Compression | None
    etag: str
    most_bytes: int
    """It is surely not longer."""
    replaced_count: Callable[[], int] = int
    pieces: Sequence[bytes | Segment] | None = None
    """The body as stored segments, each as it lies, and bytes between them; None where it is not made of such."""

    @property
    def chunks(self) -> Iterator[bytes]:
        """The whole body, from its beginning each time."""
        return self.chunks_from(0)

    def measured_length(self) -> int:
        """The length, by rendering everything once where it is not known otherwise."""
        if self.content_length is not None:
            return self.content_length
        return sum(map(len, self.chunks))


@dataclass(frozen=True, slots=True)
class _Plain:
    """What is sent as it is or packed on the way: a length where it is known, else a bound."""

    chunks_from: Callable[[int], Iterator[bytes]]
    identity: str
    length: int | None
    most_bytes: int
    replaced_count: Callable[[], int] = int
    pieces: Sequence[bytes | Segment] | None = None


def render(
    store: ObjectStore,
    segments: Sequence[Segment],
    fmt: Format,
    compress: Compression | None = None,
    *,
    content_type: str | None = None,
    entry_name: str = "result",
    columns: Sequence[str] | None = None,
    csv_guard: bool = False,
    values_as_strings: bool = False,
) -> Rendered:
    """Render all records of the segments.

    CSV takes the union of the columns recorded with the segments. `columns` overrides that, for jobs whose segments
    have none recorded: see `scan_columns`, which costs one more reading and is done here if nothing else is known.
    `content_type` overrides that of the format; `entry_name` is the file's name within a zip. `values_as_strings`
    (JSON Lines only) writes numbers, true and false as strings.
    """
    envelope = _envelope(compress, entry_name)
    content_type = content_type or CONTENT_TYPES[fmt]
    if fmt == "jsonl" and envelope is not None and not values_as_strings:
        return _packed_lines(store, segments, envelope, content_type)
    if fmt == "csv":
        if columns is None:
            columns = column_union(segments) or scan_columns(store, segments)
        plain = _csv(store, segments, columns, guard=csv_guard)
    elif fmt == "json":
        plain = _json(store, segments)
    else:
        plain = _jsonl(store, segments, values_as_strings=values_as_strings)
    return _answer(segments, plain, envelope, content_type)


def scan_columns(store: ObjectStore, segments: Sequence[Segment]) -> tuple[str, ...]:
    """The CSV columns of records for which none were recorded, in the order in which the records bring them."""
    return column_union(with_columns(store, segments))


def with_columns(store: ObjectStore, segments: Sequence[Segment]) -> list[Segment]:
    """The segments with the columns that are new in each, as a CSV job would have recorded them; reads them all."""
    scanner = ColumnScanner()
    scanned = []
    for segment in segments:
        for block in whole_lines(iter_segment(store, segment)):
            scanner.scan(block)
        scanned.append(replace(segment, columns=scanner.take_new()))
    return scanned


def _envelope(compress: Compression | None, entry_name: str) -> Envelope | None:
    if compress == "zip":
        return ZipArchive(entry_name)
    return GzipMember() if compress == "gzip" else None


def _packed_lines(store: ObjectStore, segments: Sequence[Segment], envelope: Envelope, content_type: str) -> Rendered:
    """JSON Lines as they lie packed: a byte copy, wherever it begins."""
    stream = stored_stream(segments)
    if stream is not None:
        return Rendered(
            chunks_from=partial(byte_copy, store, segments, stream, envelope),
            content_length=byte_copy_length(stream, envelope),
            content_type=content_type,
            content_encoding=envelope.coding,
            etag=etag(segments, f"{content_type} jsonl {envelope.identity}"),
            most_bytes=byte_copy_length(stream, envelope),
            pieces=pieces_of_byte_copy(segments, stream, envelope),
        )
    return Rendered(
        chunks_from=lambda start: without_first(packed_segments(store, segments, envelope), start),
        content_length=None,
        content_type=content_type,
        content_encoding=envelope.coding,
        etag=etag(segments, f"{content_type} jsonl {envelope.identity} {deflate.CODEC}"),
        most_bytes=most_packed(total_plain_bytes(segments), runs=len(segments)),
    )


def _answer(segments: Sequence[Segment], plain: _Plain, envelope: Envelope | None, content_type: str) -> Rendered:
    """The plain body, or one packed on the fly; then nobody knows the length beforehand."""
    if envelope is None:
        tag = etag(segments, f"{content_type} {plain.identity}")
        return Rendered(
            plain.chunks_from,
            plain.length,
            content_type,
            None,
            tag,
            plain.most_bytes,
            plain.replaced_count,
            plain.pieces,
        )

    def packed_from(start: int) -> Iterator[bytes]:
        return without_first(packed_on_the_fly(plain.chunks_from(0), envelope, plain.most_bytes), start)

    tag = etag(segments, f"{content_type} {plain.identity} {envelope.identity} {deflate.CODEC}")
    most_bytes = most_packed(plain.most_bytes)
    return Rendered(packed_from, None, content_type, envelope.coding, tag, most_bytes, plain.replaced_count)


def _jsonl(store: ObjectStore, segments: Sequence[Segment], *, values_as_strings: bool) -> _Plain:
    length = total_plain_bytes(segments)
    if not values_as_strings:
        pieces = segments if all(segment.encoding == "plain" for segment in segments) else None
        return _Plain(partial(iter_plain_from, store, segments), "jsonl", length, length, pieces=pieces)

    def strings_from(start: int) -> Iterator[bytes]:
        return without_first(map(with_values_as_strings, whole_lines(iter_plain(store, segments))), start)

    return _Plain(strings_from, "jsonl strings", None, 2 * length)


def _json(store: ObjectStore, segments: Sequence[Segment]) -> _Plain:
    """Brackets come on top; the last newline goes, the others become commas: byte n is byte n - 1 of the lines."""
    plain_bytes = total_plain_bytes(segments)
    length = plain_bytes + 1 if plain_bytes else 2

    def array_from(start: int) -> Iterator[bytes]:
        if start >= length:
            return iter(())
        at = max(start - 1, 0)
        rest = _array_rest(iter_plain_from(store, segments, at), plain_bytes - at)
        return rest if start else headed(b"[", rest)

    return _Plain(array_from, "json", length, length)


def _array_rest(lines: Iterator[bytes], plain_bytes: int) -> Iterator[bytes]:
    """`a,b,...]`: records never contain a raw newline, so each one closes a record."""
    seen = 0
    for piece in lines:
        seen += len(piece)
        yield (piece[:-1] if seen == plain_bytes else piece).replace(b"\n", b",")
    yield b"]"


def _csv(store: ObjectStore, segments: Sequence[Segment], columns: Sequence[str], *, guard: bool) -> _Plain:
    identity = "\n".join(("csv guarded" if guard else "csv", *columns))
    if not columns:
        return _Plain(lambda _: iter(()), identity, 0, 0)
    rows = CsvRows(columns, guard=guard)

    def rows_from(start: int) -> Iterator[bytes]:
        return without_first(rows.render(iter_plain(store, segments)), start)

    # Quotes are doubled; a cell may get two of them, an apostrophe and a comma on top.
    most_bytes = 2 * total_plain_bytes(segments) + (4 * len(columns) + 2) * total_records(segments)
    return _Plain(rows_from, identity, None, most_bytes + 2 * len(rows.header()), lambda: rows.replaced_count)
