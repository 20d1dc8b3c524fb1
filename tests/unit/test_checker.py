"""The counts by which chaos is judged must themselves notice every kind of damage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.checker import Counts, count_records

RECORDS = [b"a", b"b", b"c", b"d"]


@pytest.mark.parametrize(
    ("got", "counts"),
    [
        (b"a b c d", Counts(ok=4, lost=0, duplicated=0, unexpected=0, disordered=0)),
        (b"", Counts(ok=0, lost=4, duplicated=0, unexpected=0, disordered=0)),
        (b"a b d", Counts(ok=3, lost=1, duplicated=0, unexpected=0, disordered=0)),
        (b"a b b c d", Counts(ok=4, lost=0, duplicated=1, unexpected=0, disordered=0)),
        (b"a b a b c d", Counts(ok=4, lost=0, duplicated=2, unexpected=0, disordered=1)),
        (b"a c b d", Counts(ok=4, lost=0, duplicated=0, unexpected=0, disordered=1)),
        (b"a b c d e", Counts(ok=4, lost=0, duplicated=0, unexpected=1, disordered=0)),
        (b"a b C d", Counts(ok=3, lost=1, duplicated=0, unexpected=1, disordered=0)),
    ],
)
def test_each_damage_has_its_count(got: bytes, counts: Counts) -> None:
    assert count_records(RECORDS, got.split()) == counts


@given(st.lists(st.sampled_from([*RECORDS, b"x"])))
def test_only_the_expected_records_themselves_are_exact(got: list[bytes]) -> None:
    assert count_records(RECORDS, got).is_exact == (got == RECORDS)
