"""A result in the format that was asked for, rendered from segments in flat memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from app.domain.segments import Segment, column_union, etag, total_plain_bytes, total_records
from app.storage import deflate
from app.storage.chunks import headed
from app.storage.columns import ColumnScanner
from app.storage.csv_rows import CsvRows
from app.storage.gzip_member import byte_copy_length, one_member, packed_on_the_fly
from app.storage.lines import whole_lines
from app.storage.objects import ObjectStore
from app.storage.reading import iter_plain

Format = Literal["jsonl", "json", "csv"]
Compression = Literal["gzip"]

CONTENT_TYPES: dict[Format, str] = {
    "jsonl": "application/jsonl",
    "json": "application/json",
    "csv": "text/csv",  # bare: clients compare for equality (reference 3d)
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A body to send. `chunks` reads the store while it is consumed: close it if it is not consumed to its end.

    Damage shows as StorageError in the middle of `chunks`; the answer must then be broken off. `replaced_count` gives
    the unpaired surrogates replaced so far (CSV only).
    """

    chunks: Iterator[bytes]
    content_length: int | None
    content_type: str
    content_encoding: str | None
    etag: str
    replaced_count: Callable[[], int] = int


def render(
    store: ObjectStore,
    segments: Sequence[Segment],
    fmt: Format,
    compress: Compression | None = None,
    *,
    columns: Sequence[str] | None = None,
    csv_guard: bool = False,
) -> Rendered:
    """Render all records of the segments.

    CSV takes the union of the columns recorded with the segments. `columns` overrides that, for jobs whose segments
    have none recorded: see `scan_columns`, which costs one more reading and is done here if nothing else is known.
    """
    if fmt == "csv":
        if columns is None:
            columns = column_union(segments) or scan_columns(store, segments)
        return _render_csv(store, segments, compress, columns, guard=csv_guard)
    if fmt == "jsonl" and compress == "gzip":
        length = byte_copy_length(segments)
        return Rendered(
            chunks=one_member(store, segments),
            content_length=length,
            content_type=CONTENT_TYPES[fmt],
            content_encoding="gzip",
            etag=etag(segments, "jsonl gzip" if length is not None else f"jsonl gzip {deflate.CODEC_NAME}"),
        )
    lines = iter_plain(store, segments)
    if fmt == "jsonl":
        return _answer(fmt, segments, None, lines, total_plain_bytes(segments))
    array = headed(b"[", _array_rest(lines, total_plain_bytes(segments)))
    return _answer(fmt, segments, compress, array, _array_length(segments))


def scan_columns(store: ObjectStore, segments: Sequence[Segment]) -> tuple[str, ...]:
    """The CSV columns of records for which none were recorded, in the order in which the records bring them."""
    scanner = ColumnScanner()
    for block in whole_lines(iter_plain(store, segments)):
        scanner.scan(block)
    return scanner.take_new()


def _render_csv(
    store: ObjectStore,
    segments: Sequence[Segment],
    compress: Compression | None,
    columns: Sequence[str],
    *,
    guard: bool,
) -> Rendered:
    if not columns:
        return _answer("csv", segments, compress, iter(()), 0)
    rows = CsvRows(columns, guard=guard)
    chunks = rows.render(iter_plain(store, segments))
    variant = "\n".join(("guarded" if guard else "", *columns))
    return _answer("csv", segments, compress, chunks, None, variant=variant, replaced_count=lambda: rows.replaced_count)


def _answer(
    fmt: Format,
    segments: Sequence[Segment],
    compress: Compression | None,
    chunks: Iterator[bytes],
    length: int | None,
    *,
    variant: str = "",
    replaced_count: Callable[[], int] = int,
) -> Rendered:
    """The chunks as they are, or gzip made of them on the fly; then nobody knows the length beforehand."""
    coding = f"{compress} {deflate.CODEC_NAME}" if compress else ""
    return Rendered(
        chunks=packed_on_the_fly(chunks) if compress else chunks,
        content_length=None if compress else length,
        content_type=CONTENT_TYPES[fmt],
        content_encoding=compress,
        etag=etag(segments, f"{fmt} {coding} {variant}"),
        replaced_count=replaced_count,
    )


def _array_length(segments: Sequence[Segment]) -> int:
    """Brackets come on top; the last newline goes, the others become commas."""
    return total_plain_bytes(segments) + 1 if total_records(segments) else 2


def _array_rest(lines: Iterator[bytes], plain_bytes: int) -> Iterator[bytes]:
    """`a,b,...]`: records never contain a raw newline, so each one closes a record."""
    seen = 0
    for piece in lines:
        seen += len(piece)
        yield (piece[:-1] if seen == plain_bytes else piece).replace(b"\n", b",")
    yield b"]"
