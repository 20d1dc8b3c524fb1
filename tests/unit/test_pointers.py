"""Finding a member without keeping the others: the same answer as looking at all of them."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from app.connectors.pointers import find_raw, find_small

NAMES = st.sampled_from(["id", "a b", 'a"b', "a\\b", "a\nb", "", "ü", "null"])


def spelled(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


@given(st.dictionaries(NAMES, st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers())), NAMES)
@example({'a"b': 1}, 'a"b')
@example({"id": None}, "id")
def test_a_member_is_found_whatever_its_name(record: dict[str, Any], name: str) -> None:
    text = json.dumps(record).encode()
    small, raw = find_small(text, spelled(name)), find_raw(text, spelled(name))
    assert (None if small is None else bytes(small)) == (None if raw is None else bytes(raw))


def test_longer_ways_and_odd_records_are_found_too() -> None:
    assert bytes(find_small(b'{"a":{"b":7}}', "/a/b") or b"") == b"7"
    assert bytes(find_small(b"[5,6]", "/1") or b"") == b"6"
    assert find_small(b"7", "/id") is None
