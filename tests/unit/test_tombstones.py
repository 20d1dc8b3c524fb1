"""Which records say of themselves that they are deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.connectors.model import DeletedSpec
from app.connectors.tombstones import is_deleted, marked

PRESENT = DeletedSpec("/gone", "drop")


@pytest.mark.parametrize("value", ["true", "1", "-0.5", '"2024-01-01"', '"false"', '{"reason":"x"}', "[0]"])
def test_anything_that_says_something_says_that_it_is_deleted(value: str) -> None:
    assert is_deleted(PRESENT, f'{{"gone": {value} }}'.encode())


@pytest.mark.parametrize(
    "record",
    [
        *('{"gone":null}', '{"gone":false}', '{"gone":0}', '{"gone":0.0}', '{"gone":""}', '{"gone":{}}', '{"gone":[]}'),
        *("{}", '{"other":true}', '{"in":{"gone":true}}', "[]", "7", "null", '"gone"', "no json", ""),
    ],
)
def test_nothing_there_says_that_it_is_not(record: str) -> None:
    assert not is_deleted(PRESENT, record.encode())


@pytest.mark.parametrize(
    ("value", "equals", "expected"),
    [
        ('"removed"', "removed", True),
        ('"Removed"', "removed", False),
        ("true", "true", True),
        ("false", "false", True),
        ("2", "2", True),
        ("null", "null", False),
        ('"r\\u00e9"', "ré", True),
    ],
)
def test_a_declared_text_is_compared(value: str, equals: str, expected: bool) -> None:
    spec = DeletedSpec("/meta/state", "drop", equals)
    assert is_deleted(spec, f'{{"meta":{{"state":{value}}}}}'.encode()) is expected


FIELDS = st.dictionaries(
    st.sampled_from(["id", "gone", "_x", "Gone", 'a"b']),
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
)


@given(record=FIELDS, indent=st.sampled_from([None, 1]))
def test_it_is_what_the_decoded_record_says_and_a_mark_changes_nothing_else(
    record: dict[str, Any], indent: Any
) -> None:
    text = json.dumps(record, indent=indent).encode()
    assert is_deleted(PRESENT, text) is bool(record.get("gone"))
    expected = {**record, "_deleted": True} if record.get("gone") else record
    assert json.loads(bytes(marked(PRESENT, text))) == expected
