"""Ids are unique, fit the clients' int32, and tell neither volume nor each other."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ids import MAX_ID, scatter

numbers = st.integers(1, MAX_ID)


@given(st.text(max_size=200), st.sets(numbers, max_size=20))
def test_different_numbers_get_different_ids_in_range(key: str, some: set[int]) -> None:
    ids = {scatter(key, "job", number) for number in some}
    assert len(ids) == len(some)
    assert all(1 <= one <= MAX_ID for one in ids)


@pytest.mark.parametrize("length", [1, 32, 64, 200])
def test_kinds_and_keys_are_scattered_differently(length: int) -> None:
    key = "k" * length

    def first_ids(key: str, kind: str) -> list[int]:
        return [scatter(key, kind, number) for number in range(1, 20)]

    assert not set(first_ids(key, "job")) & set(first_ids(key, "instance"))
    assert not set(first_ids(key, "job")) & set(first_ids(key + "x", "job"))


def test_ids_in_a_row_are_in_no_order() -> None:
    ids = [scatter("key", "job", number) for number in range(1, 101)]
    rising = sum(later > earlier for earlier, later in pairwise(ids))
    assert 30 < rising < 70


@pytest.mark.parametrize("number", [0, -1, MAX_ID + 1])
def test_a_number_outside_the_range_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        scatter("key", "job", number)
