"""A child in its record: whatever the record looks like, no byte of either is lost."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.nesting import listed, referenced
from app.domain.recent import Recent

ACCOUNT = referenced("accounts", "id", "id")
OWNER = referenced("users", "id", "ownerId")
GROUP = referenced("groups", "id", "group")
NOTES = listed("notes", "id")
CHILD = b'{"id":3, "n":1.10}'

NAMES = st.sampled_from(["id", "accountId", "account_id", "account", "notes", "a b", 'q"', "\u00e9"])
RECORDS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    NAMES, st.one_of(st.none(), st.integers(), st.text(max_size=3), st.booleans(), st.just([{}]))
)


@pytest.mark.parametrize(
    ("record", "nested"),
    [
        (b'{"id": 1, "accountId" : "3" , "b": 1.10}', b'{"id": 1,"account":{"id":3, "n":1.10},"b": 1.10}'),
        (b'{"accountId":3}', b'{"account":{"id":3, "n":1.10}}'),
        (b'{"account_id":3}', b'{"account":{"id":3, "n":1.10}}'),
        (b'{"AccountId":3}', b'{"Account":{"id":3, "n":1.10}}'),
        (b'{"account":"ours","accountId":3}', b'{"account":{"id":3, "n":1.10}}'),
        (b'{"id":1}', b'{"id":1}'),
        (b'{"account":{"id":3}}', b'{"account":{"id":3}}'),
        (b"[1]", b"[1]"),
        (b'{"a":', b'{"a":'),
    ],
)
def test_the_documented_example_and_its_spellings(record: bytes, nested: bytes) -> None:
    assert ACCOUNT.slot(record).filled(CHILD) == nested


def test_a_field_that_is_named_gives_its_name_without_the_suffix() -> None:
    assert OWNER.slot(b'{"ownerId":7,"id":1}').key == "7"
    assert OWNER.slot(b'{"ownerId":7,"id":1}').filled(b"{}") == b'{"owner":{},"id":1}'
    assert GROUP.slot(b'{"group":"a"}').filled(b"{}") == b'{"group":{}}'
    assert GROUP.slot(b'{"group":"a"}').filled(None) == b'{"group":"a"}'


@pytest.mark.parametrize("plural", ["companies", "addresses", "courses", "boxes", "status", "Accounts", "people"])
def test_plurals_lead_to_the_field_that_is_there(plural: str) -> None:
    one = {"companies": "company", "addresses": "address", "courses": "course", "boxes": "box"}.get(plural, plural)
    one = "account" if plural == "Accounts" else one
    slot = referenced(plural, "id", "id").slot(json.dumps({"id": 1, f"{one}Id": 5}).encode())
    assert slot.key == "5"
    assert json.loads(slot.filled(b"true")) == {"id": 1, one: True}


def test_a_key_that_leads_to_nothing_is_not_lost() -> None:
    assert ACCOUNT.slot(b'{"accountId":3,"b":1}').filled(None) == b'{"accountId":3,"b":1,"account":null}'
    assert ACCOUNT.slot(b'{"accountId":null,"b":1}').filled(None) == b'{"account":null,"b":1}'


@pytest.mark.parametrize(
    ("record", "key", "is_lost"),
    [
        (b'{"accountId":"a/b \\u00e9"}', "a/b é", False),
        (b'{"accountId":123456789012345678901234567890}', "123456789012345678901234567890", False),
        (b'{"accountId":1,"accountId":2}', "2", False),
        (b'{"accountId":""}', None, False),
        (b'{"accountId":".."}', None, True),
        (b'{"accountId":"\\ud800"}', None, True),
        (b'{"accountId":true}', None, True),
        (b'{"accountId":null}', None, False),
        (b'{"accountId":{"id":1}}', None, False),
        (b"[]", None, False),
    ],
)
def test_what_is_no_key_is_not_asked_for(record: bytes, key: str | None, is_lost: bool) -> None:
    slot = ACCOUNT.slot(record)
    assert (slot.key, slot.is_lost) == (key, is_lost)


def test_lists_stand_behind_all_fields() -> None:
    assert NOTES.slot(b'{"id":1,"notes":3,"b":2}').filled(b"[{}]") == b'{"id":1,"b":2,"notes":[{}]}'
    assert NOTES.slot(b'{"b":2}').filled(None) == b'{"b":2,"notes":[]}'
    assert NOTES.slot(b"{}").filled(None) == b'{"notes":[]}'
    assert NOTES.slot(b"{}").is_lost


@given(
    RECORDS,
    st.sampled_from([ACCOUNT, NOTES, GROUP]),
    st.sampled_from([None, {"x": [1.5]}]),
    st.sampled_from([",", " , "]),
)
def test_all_other_fields_stay(record: dict[str, Any], naming: Any, child: Any, comma: str) -> None:
    text = json.dumps(record, separators=(comma, ":")).encode()
    slot = naming.slot(text)
    found = json.loads(slot.filled(None if child is None else json.dumps(child).encode()))
    field = "" if slot.field is None else slot.field.name
    untouched = {name: value for name, value in record.items() if name not in {slot.name, field}}
    assert {name: value for name, value in found.items() if name not in {slot.name, field}} == untouched
    if slot.key is not None and child is not None:
        assert found[slot.name] == child


def test_what_was_not_used_for_longest_goes_first() -> None:
    recent = Recent(3 * 201)
    for name in "abc":
        recent.put(name, b"")
    recent.get("a")
    recent.put("d", None)
    assert [name for name in "abcd" if name in recent] == ["a", "c", "d"]
    assert recent.get("d") is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.binary(max_size=500))))
def test_no_more_bytes_are_kept_than_allowed(puts: list[tuple[str, bytes]]) -> None:
    recent = Recent(1000)
    for name, text in puts:
        recent.put(name, text)
        assert 0 <= recent.size_bytes <= 1000
        assert recent.get(name) == text
