"""Results in a store in memory, for tests of how they are rendered."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import strategies as st

from app.domain.segments import Encoding, Segment
from app.storage.columns import ColumnScanner
from app.storage.formats import Format, Rendered
from app.storage.segments import SegmentBuilder
from tests.fakes.memory_store import MemoryStore

FORMATS: list[Format] = ["jsonl", "json", "csv"]
ENCODINGS: list[Encoding] = ["deflate", "plain"]

_values = st.one_of(st.none(), st.integers(), st.text(max_size=10), st.lists(st.integers(), max_size=2))
many_records = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c.d"]), _values, min_size=1), max_size=30)


def jsonl(records: Sequence[object]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def store_of(
    records: Sequence[object], encodings: Sequence[Encoding] = ("deflate",), *, columns: bool = True
) -> tuple[MemoryStore, list[Segment]]:
    """Segments of 8 records with small runs, their encodings in turn."""
    lines = [jsonl([record]) for record in records]
    return store_lines(lines, encodings, columns=columns)


def store_lines(
    lines: Sequence[bytes],
    encodings: Sequence[Encoding] = ("deflate",),
    *,
    columns: bool = True,
    lines_per_segment: int = 8,
    flush_bytes: int = 40,
) -> tuple[MemoryStore, list[Segment]]:
    """The same of JSON texts, each with its newline. Every segment records its columns as if it were the first."""
    store = MemoryStore()
    segments: list[Segment] = []
    for start in range(0, len(lines), lines_per_segment):
        scanner = ColumnScanner() if columns else None
        encoding = encodings[len(segments) % len(encodings)]
        builder = SegmentBuilder(encoding, scanner=scanner, flush_bytes=flush_bytes)
        for line in lines[start : start + lines_per_segment]:
            builder.add(line, 1)
        built = builder.finish()
        segments.append(built.as_segment(f"jobs/1/{start}"))
        store.put(segments[-1].object_key, built.data)
    return store, segments


def one_segment(
    content: bytes, record_count: int, encoding: Encoding, flush_bytes: int = 64 * 1024
) -> tuple[MemoryStore, list[Segment]]:
    """A single segment, with its columns."""
    store = MemoryStore()
    builder = SegmentBuilder(encoding, scanner=ColumnScanner(), flush_bytes=flush_bytes)
    builder.add(content, record_count)
    built = builder.finish()
    store.put("jobs/1/0", built.data)
    return store, [built.as_segment("jobs/1/0")]


def body(rendered: Rendered) -> bytes:
    content = b"".join(rendered.chunks)
    assert rendered.content_length in {None, len(content)}
    return content
