"""The demo's own judgement: it must see every way in which a file can be wrong, and every forged callback."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.domain.signing import SigningKey, elements_signature, standard_signature
from app.local.demo.comparison import compare
from app.local.demo.receiver import SignatureError, new_signing_key, verify

ROWS: list[dict[str, Any]] = [
    {"id": 1, "name": "one", "delay": None},
    {"id": 2, "name": "zwei ü", "delay": 1.5},
    {"id": 3, "name": "three", "delay": -7},
]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "source.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("create table things (id integer primary key, name text, delay real)")
        connection.executemany("insert into things values (:id, :name, :delay)", ROWS)
    connection.close()
    return path


def written(folder: Path, records: list[Any]) -> Path:
    path = folder / "file.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_the_same_records_in_order_are_exact(tmp_path: Path, database: Path) -> None:
    found = compare(written(tmp_path, ROWS), database, "things", "id")
    assert found.exact
    assert (found.source_count, found.file_count) == (3, 3)


@pytest.mark.parametrize(
    ("spoil", "duplicates", "missing"),
    [
        pytest.param(lambda rows: rows[:-1], 0, 1, id="last lost"),
        pytest.param(lambda rows: rows[1:], 0, 1, id="first lost"),
        pytest.param(lambda rows: [*rows, rows[-1]], 1, 0, id="one twice"),
        pytest.param(lambda rows: [rows[0], rows[0], rows[2]], 1, 1, id="one in place of another"),
        pytest.param(lambda rows: [rows[1], rows[0], rows[2]], 0, 0, id="order changed"),
        pytest.param(lambda rows: [{**rows[0], "delay": 0}, *rows[1:]], 0, 0, id="null became zero"),
        pytest.param(lambda rows: [{**rows[0], "extra": 1}, *rows[1:]], 0, 0, id="field added"),
        pytest.param(lambda rows: [*rows, "no record"], 0, 0, id="a line too many"),
        pytest.param(lambda _: [], 0, 3, id="empty"),
    ],
)
def test_whatever_differs_is_not_exact(
    tmp_path: Path, database: Path, spoil: Callable[[list[Any]], list[Any]], duplicates: int, missing: int
) -> None:
    found = compare(written(tmp_path, spoil(ROWS)), database, "things", "id")
    assert not found.exact
    assert (found.duplicate_count, found.missing_count) == (duplicates, missing)


def signed(key: str, body: bytes, now_s: int) -> dict[str, str]:
    parsed = SigningKey.parse(key)
    return {
        "Elements-Webhook-Signature": elements_signature(parsed, body),
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now_s),
        "webhook-signature": standard_signature([parsed], "evt_1", now_s, body),
    }


def test_the_products_signature_is_accepted() -> None:
    key, body = new_signing_key(), b'{"status":"COMPLETED"}'
    callback = verify(key, signed(key, body, 1000), body, now_s=1010.5)
    assert callback.event_id == "evt_1"
    assert callback.document == {"status": "COMPLETED"}


@pytest.mark.parametrize(
    "header", ["Elements-Webhook-Signature", "webhook-id", "webhook-signature", "webhook-timestamp"]
)
def test_a_callback_without_one_of_the_headers_is_refused(header: str) -> None:
    key, body = new_signing_key(), b"{}"
    headers = signed(key, body, 1000)
    del headers[header]
    with pytest.raises(SignatureError):
        verify(key, headers, body, now_s=1000)


@pytest.mark.parametrize(
    ("signing_key", "body", "now_s"),
    [
        pytest.param(new_signing_key(), b"{}", 1000, id="another key"),
        pytest.param(None, b'{"id":1}', 1000, id="another body"),
        pytest.param(None, b"{}", 1301, id="an old one"),
    ],
)
def test_a_forged_or_repeated_callback_is_refused(signing_key: str | None, body: bytes, now_s: int) -> None:
    key = new_signing_key()
    with pytest.raises(SignatureError):
        verify(key, signed(signing_key or key, b"{}", 1000), body, now_s=now_s)
