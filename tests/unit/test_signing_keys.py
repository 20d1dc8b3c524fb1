"""Which keys sign while one replaces another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.signing_keys import MOST_OLDER, KeyRing, OlderKey, ring_of

DAY_S = 86400.0


def test_a_new_key_keeps_the_old_one_for_the_overlap() -> None:
    ring = KeyRing("old").rotated("new", 1000.0, DAY_S)
    assert ring == KeyRing("new", (OlderKey("old", 1000.0 + DAY_S),))
    assert [key.elements for key in ring.at(1000.0 + DAY_S - 1).signing_keys()] == [b"new", b"old"]
    assert [key.elements for key in ring.at(1000.0 + DAY_S).signing_keys()] == [b"new"]


def test_the_same_key_again_changes_nothing_and_no_overlap_leaves_none() -> None:
    ring = KeyRing("old").rotated("new", 1000.0, DAY_S)
    assert ring.rotated("new", 2000.0, DAY_S) == ring
    assert KeyRing("old").rotated("new", 1000.0, 0.0) == KeyRing("new")


def test_going_back_to_an_older_key_has_it_once() -> None:
    ring = KeyRing("a").rotated("b", 0.0, DAY_S).rotated("a", 10.0, DAY_S)
    assert (ring.newest, [each.text for each in ring.older]) == ("a", ["b"])


def test_more_than_three_at_once_are_refused_until_one_is_over() -> None:
    ring = KeyRing("a").rotated("b", 0.0, DAY_S).rotated("c", 10.0, DAY_S)
    with pytest.raises(ValueError, match="4 keys would be valid at once; up to 3"):
        ring.rotated("d", 20.0, DAY_S)
    assert [each.text for each in ring.rotated("d", DAY_S, DAY_S).older] == ["c", "b"]


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 2 * DAY_S)), max_size=8))
def test_never_more_than_few_and_none_twice(steps: list[tuple[str, float]]) -> None:
    ring, now_s = KeyRing("a"), 0.0
    for text, wait_s in steps:
        now_s += wait_s
        try:
            ring = ring.rotated(text, now_s, DAY_S)
        except ValueError:
            continue
        texts = [ring.newest, *(each.text for each in ring.older)]
        assert len(set(texts)) == len(texts) <= 1 + MOST_OLDER
        assert ring.newest == text


def test_what_is_stored_comes_back_and_shows_nothing() -> None:
    ring = KeyRing("s3cret-a").rotated("s3cret-b", 0.0, DAY_S)
    assert ring_of({"key": ring.newest, "older": ring.older_text() or ""}, "key", "older") == ring
    assert ring_of({"key": "x"}, "key", "older") == KeyRing("x")
    assert ring_of({}, "key", "older") is None
    assert "s3cret" not in repr(ring)
