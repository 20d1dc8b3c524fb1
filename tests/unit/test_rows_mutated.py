"""Files that were good once: flipped, cut, doubled, spliced. All end, in bounded memory, and with no other error."""

import gzip
import json
import random
import tracemalloc
from collections.abc import Iterator

import pytest

from app.domain.rows import BadRow, InputForm, InputPosition, Row, UnreadableInputError, look, read_rows
from app.domain.uploads import UploadOptions
from app.storage.inputs import plain_chunks
from tests.fakes.memory_store import MemoryStore
from tests.unit.test_storage_inputs import zipped

LIMIT_BYTES = 2 * 1024 * 1024
MUTATIONS = 250
TYPES = {"id": "integer", "price": "number", "is_new": "boolean", "more": "json"}

TABLE = "id,name,adr.city,price,is_new,more\r\n" + "".join(
    f'{number},"J\u00f6rg ""{number}""\r\nX",Z\u00fcrich,{number / 7},true,"{{""a"":[{number}]}}"\r\n'
    for number in range(60)
)
RECORDS = [
    {"id": number, "n\u00e4me": f'"{number}\n{{', "deep": [[{"a": None}], 1.5, "\U0001f600"]} for number in range(60)
]
LINES = "".join(json.dumps(record, ensure_ascii=number % 2 == 0) + "\n" for number, record in enumerate(RECORDS))
ARRAY = json.dumps(RECORDS, indent=1, ensure_ascii=False)

GOOD = {
    "csv": TABLE.encode(),
    "csv, utf-16": TABLE.encode("utf-16"),
    "csv, gzip": gzip.compress(TABLE.encode(), mtime=0),
    "csv, zip": zipped({"a.csv": TABLE.encode()}),
    "json lines": LINES.encode(),
    "json lines, utf-32": LINES.encode("utf-32"),
    "json array": ARRAY.encode(),
    "json array, one line": json.dumps(RECORDS).encode(),
    "json array, utf-16": ARRAY.encode("utf-16"),
    "json array, gzip": gzip.compress(ARRAY[:3000].encode(), mtime=0) + gzip.compress(ARRAY[3000:].encode(), mtime=0),
}


def mutated(chance: random.Random, raw: bytes, other: bytes) -> bytes:
    for _ in range(chance.choice([1, 1, 2, 5])):
        at, end = sorted(chance.randrange(len(raw) + 1) for _ in range(2))
        kind = chance.randrange(7)
        if kind == 0 and at < len(raw):
            raw = raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :]
        elif kind == 1:
            raw = raw[:at] + chance.choice([b'"', b"\n", b"\r", b",", b"\0", b"\xff", b"{", b"]", b"\\"]) + raw[at:]
        elif kind == 2:
            raw = raw[:at]
        elif kind == 3:
            raw = raw[:at] + raw[end:]
        elif kind == 4:
            raw = raw[:end] + raw[at:]
        elif kind == 5:
            raw = raw[:at] + other[chance.randrange(len(other)) :]
        else:
            raw = raw[:at] + chance.randbytes(chance.randrange(1, 40)) + raw[end:]
        raw = raw or b"x"
    return raw


def options_for(chance: random.Random, kind: str) -> UploadOptions:
    stated = "json" if kind.startswith("json") != (chance.random() < 0.05) else "csv"
    encoding = chance.choice(["", "", "", "", "utf-8", "utf-16", "cp1252", "shift_jis", "utf-7", "hz", "cp1140"])
    return UploadOptions("x", format="json" if stated == "json" else "csv", encoding=encoding)


def rows_of(store: MemoryStore, options: UploadOptions) -> Iterator[tuple[InputForm, Row | BadRow]]:
    """What the first leg does."""
    head = b""
    for piece in plain_chunks(store, "k", limit_bytes=LIMIT_BYTES):
        head += piece
    form = look(head, options, is_whole=True)
    chunks = plain_chunks(store, "k", limit_bytes=LIMIT_BYTES, offset=form.body_at.offset)
    for row in read_rows(chunks, form, TYPES, form.body_at):
        yield form, row


def check_row(row: Row | BadRow, number: int, before: InputPosition) -> None:
    assert row.number == row.behind.row == number
    assert before.offset < row.behind.offset <= LIMIT_BYTES
    assert before.line <= row.line <= row.behind.line
    if isinstance(row, Row):
        assert isinstance(json.loads(row.record), dict)
        assert b"\n" not in row.record
        assert b"\r" not in row.record
        return
    for text in (row.message, row.excerpt):
        assert "\0" not in text
        assert text.encode()
        assert len(text) < 1000


def check_file(store: MemoryStore, options: UploadOptions, chance: random.Random) -> tuple[int, str]:
    rows: list[Row | BadRow] = []
    form, error = None, ""
    try:
        for form, row in rows_of(store, options):  # noqa: B007
            check_row(row, len(rows) + 1, rows[-1].behind if rows else InputPosition())
            rows.append(row)
    except UnreadableInputError as unreadable:
        error = unreadable.message
        assert error
        assert "\0" not in error
        assert error.encode()
    if rows and form:
        number = chance.randrange(len(rows))
        assert rest_behind(store, form, rows[number].behind) == (rows[number + 1 :], error)
    return len(rows), error


def rest_behind(store: MemoryStore, form: InputForm, at: InputPosition) -> tuple[list[Row | BadRow], str]:
    rows: list[Row | BadRow] = []
    try:
        rows.extend(read_rows(plain_chunks(store, "k", limit_bytes=LIMIT_BYTES, offset=at.offset), form, TYPES, at))
    except UnreadableInputError as unreadable:
        return rows, unreadable.message
    return rows, ""


@pytest.mark.parametrize("kind", GOOD)
def test_mutated_files_end_with_rows_or_a_declared_error(kind: str) -> None:
    chance = random.Random(f"{kind} 20261122")
    outcomes = set()
    tracemalloc.start()
    try:
        for _ in range(MUTATIONS):
            raw = mutated(chance, GOOD[kind], GOOD[chance.choice(list(GOOD))])
            store = MemoryStore()
            store.put("k", [raw])
            row_count, error = check_file(store, options_for(chance, kind), chance)
            outcomes.add((row_count > 0, error != ""))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (False, True) in outcomes
    assert (True, False) in outcomes or "array" in kind or "zip" in kind
    assert peak < 12_000_000


@pytest.mark.parametrize("kind", GOOD)
def test_the_files_were_good_before(kind: str) -> None:
    store = MemoryStore()
    store.put("k", [GOOD[kind]])
    options = UploadOptions("x", format="json" if kind.startswith("json") else "csv")
    rows = [row for _, row in rows_of(store, options)]
    assert len(rows) == 60
    assert all(isinstance(row, Row) for row in rows)
    assert [json.loads(row.record)["id"] for row in rows if isinstance(row, Row)] == list(range(60))


def test_there_are_more_than_a_thousand_of_them() -> None:
    assert len(GOOD) * MUTATIONS >= 1000
