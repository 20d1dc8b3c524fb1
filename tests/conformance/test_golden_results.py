"""Awkward records through every format and compression, read back by readers that know nothing of ours."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.api.data_response import array_of
from app.domain.segments import Encoding
from app.storage.formats import Compression, Format, Rendered, render
from app.storage.packing import packed_on_the_fly
from app.storage.reading import iter_plain
from app.storage.zip_archive import ZipArchive
from tests.fakes.stored import ENCODINGS, store_lines
from tests.fixtures.clients import FOREIGN_CLIENTS

# JSON texts as vendors write them: number spellings, escapes and key order are theirs.
GOLDEN: dict[str, list[str]] = {
    "empty result": [],
    "one record": ['{"id":1}'],
    "unicode": [
        '{"id":1,"name":"Zoë 漢字 😀 \u2028\u2029 \ufeff e\u0301"}',
        '{"id":2,"\u00e9":"\\u00e9\\ud83d\\ude00"}',
    ],
    "control characters": ['{"a":"\\u0000\\u0001\\u001f\\u007f\x7f\\t\\b\\f"}', '{"a\\u0000b":1}'],
    "newlines in strings": ['{"a":"one\\ntwo\\r\\nthree\\rfour","b":"\\n"}', '{"a":"\\u000a","b":""}'],
    "quotes and separators": [
        '{"a":"say \\"hi\\", ok; \\\\ \\/ tab\\t","b":",","c":"\'"}',
        '{"a":"=1+1","b":"\\"","c":"@x"}',
    ],
    "unpaired surrogates": ['{"a":"\\ud800","b":"x\\udfffy"}', '{"a":"\\ud83d\\ude00","b":"\\\\ud800"}'],
    "numbers": ['{"a":1.10,"b":1e400,"c":12345678901234567890,"d":-0,"e":1E+2,"f":0.1000}'],
    "duplicate keys": ['{"a":1,"b":2,"a":3}'],
    "keys with dots and quotes": ['{"a.b":1,"a":{"b":2},"q\\"":3,"":4,"x,y":5,"new\\nline":6,"back\\\\slash":7}'],
    "arrays": ['{"a":[1,"x",null,{"b":[true,[]]}],"c":[]}', '{"a":[[1.10,[2]],["\\"q\\"","\\n"]],"c":["a,b"]}'],
    "null, missing and empty": ['{"a":null,"b":""}', '{"b":null}', '{"a":"","b":"x"}', "{}"],
    "nested objects": ['{"a":{"b":{"c":1},"d":{}},"e":2}', '{"a":null}', '{"a":{"b":{"c":"x"}}}'],
    "booleans": ['{"a":true,"b":false}', '{"a":"true","b":"false"}'],
    "column of the last record": [*(f'{{"id":{n}}}' for n in range(500)), '{"id":500,"late":{"comer":"x"}}'],
    "five thousand columns": [json.dumps({f"c{n}": n * row for n in range(5000)}) for row in range(3)],
    "ten megabytes": [json.dumps({"id": 1, "text": "0123456789é\n\"'," * 500_000}), '{"id":2}'],
    "no objects": ["1.10", '"text"', "[1,2]", "null"],
    "spaces": ['{ "a" : 1 , "b" : [ 1 , 2 ] }', '{"a":\t2}'],
}


class Number(str):
    """A number as it was written."""

    __slots__ = ()


def read_json(text: str) -> Any:
    """By the standard library, numbers as written."""
    return json.loads(text, parse_int=Number, parse_float=Number)


def lines_of(records: Sequence[str]) -> list[bytes]:
    return [record.encode() + b"\n" for record in records]


def csv_table(records: Sequence[str]) -> list[list[str]]:
    """The expected table, worked out without the product: dotted columns in order, null and missing empty."""
    rows = [dict(leaves(value if isinstance(value, dict) else {"value": value})) for value in map(read_json, records)]
    columns = list(dict.fromkeys(path for row in rows for path in row))
    if not columns:
        return []
    table = [[".".join(path) for path in columns], *([cell(row.get(path)) for path in columns] for row in rows)]
    return [[sound(text) for text in row] for row in table]


def leaves(value: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from leaves(inner, (*path, name))
        elif not isinstance(inner, dict):
            yield (*path, name), inner


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else "\0array"  # compared as JSON, not as text


def sound(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def unpacked(content: bytes, way: Compression | None) -> bytes:
    """By the standard library."""
    if way == "gzip":
        return gzip.decompress(content)
    if way is None:
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        (name,) = archive.namelist()
        return archive.read(name)


def rendered(records: Sequence[str], encoding: Encoding, fmt: Format, way: Compression | None) -> Rendered:
    store, segments = store_lines(lines_of(records), [encoding], flush_bytes=4096, lines_per_segment=200)
    return render(store, segments, fmt, way, entry_name="golden")


@pytest.mark.parametrize("way", [None, "gzip", "zip"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", GOLDEN)
def test_json_lines_are_the_vendors_bytes(name: str, encoding: Encoding, way: Compression | None) -> None:
    content = b"".join(rendered(GOLDEN[name], encoding, "jsonl", way).chunks)
    assert unpacked(content, way) == b"".join(lines_of(GOLDEN[name]))


@pytest.mark.parametrize("way", [None, "gzip", "zip"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", GOLDEN)
def test_json_is_one_array_of_the_same_records(name: str, encoding: Encoding, way: Compression | None) -> None:
    content = b"".join(rendered(GOLDEN[name], encoding, "json", way).chunks)
    assert read_json(unpacked(content, way).decode()) == [read_json(record) for record in GOLDEN[name]]


@pytest.mark.parametrize("way", [None, "gzip", "zip"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", GOLDEN)
def test_csv_is_the_same_table(name: str, encoding: Encoding, way: Compression | None) -> None:
    content = unpacked(b"".join(rendered(GOLDEN[name], encoding, "csv", way).chunks), way)
    csv.field_size_limit(2**30)
    found = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    expected = csv_table(GOLDEN[name])
    assert len(found) == len(expected)
    assert content.count(b"\r\n") >= len(expected)
    for found_row, expected_row in zip(found, expected, strict=True):
        assert [text for text, wanted in zip(found_row, expected_row, strict=True) if wanted != "\0array"] == [
            wanted for wanted in expected_row if wanted != "\0array"
        ]
    assert arrays_in(found, expected) == [value for record in GOLDEN[name] for value in arrays_of(read_json(record))]


def arrays_in(found: list[list[str]], expected: list[list[str]]) -> list[Any]:
    return [
        read_json(text)
        for found_row, expected_row in zip(found, expected, strict=True)
        for text, wanted in zip(found_row, expected_row, strict=True)
        if wanted == "\0array"
    ]


def arrays_of(record: Any) -> list[Any]:
    row = dict(leaves(record if isinstance(record, dict) else {"value": record}))
    return [value for value in row.values() if isinstance(value, list)]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", GOLDEN)
def test_pages_of_data_hold_every_record_once(name: str, encoding: Encoding) -> None:
    records = GOLDEN[name]
    store, segments = store_lines(lines_of(records), [encoding], flush_bytes=4096, lines_per_segment=200)
    found: list[Any] = []
    for first in range(0, len(records), 7):
        count = min(7, len(records) - first)
        page = b"".join(array_of(iter_plain(store, segments, first), count))
        found += read_json(page.decode())
    assert found == [read_json(record) for record in records]


@pytest.mark.parametrize("name", GOLDEN)
def test_json_lines_with_strings_only_differ_in_nothing_else(name: str) -> None:
    store, segments = store_lines(lines_of(GOLDEN[name]), flush_bytes=4096)
    content = b"".join(render(store, segments, "jsonl", values_as_strings=True).chunks)
    found = [json.loads(line) for line in content.split(b"\n")[:-1]]
    assert found == [stringly(read_json(record)) for record in GOLDEN[name]]


def stringly(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: stringly(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [stringly(inner) for inner in value]
    return json.dumps(value) if isinstance(value, bool) else value


def _unzippers() -> dict[str, list[str]]:
    """Programs on this machine that print an archive's only entry."""
    found = {}
    if shutil.which("unzip"):
        found["unzip"] = ["unzip", "-p"]
    if "java" in FOREIGN_CLIENTS:
        found["java"] = [
            FOREIGN_CLIENTS["java"][0],
            str(Path(__file__).parents[1] / "fakes" / "clients" / "Unzip.java"),
        ]
    return found


def _archives() -> dict[str, Callable[[list[bytes]], bytes]]:
    """The ways in which an archive comes about."""

    def byte_copy(lines: list[bytes]) -> bytes:
        return b"".join(render(*store_lines(lines), "jsonl", "zip", entry_name="Ünïcode.jsonl").chunks)

    def on_the_fly(lines: list[bytes]) -> bytes:
        return b"".join(packed_on_the_fly(iter(lines), ZipArchive("Ünïcode.jsonl"), sum(map(len, lines))))

    return {"byte copy": byte_copy, "on the fly": on_the_fly}


@pytest.mark.parametrize("archive", _archives())
@pytest.mark.parametrize("program", ["python", *_unzippers()])
def test_other_programs_read_our_archives(program: str, archive: str, tmp_path: Path) -> None:
    lines = [line for name in ("unicode", "arrays", "numbers") for line in lines_of(GOLDEN[name])]
    content = _archives()[archive](lines)
    file = tmp_path / "golden.zip"
    file.write_bytes(content)
    if program == "python":
        found = unpacked(content, "zip")
    else:
        command = [*_unzippers()[program], str(file)]
        found = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert found == b"".join(lines)
