"""Bodies within a limit: members, padding, and what is cut or damaged, wherever the windows end."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import decoding
from app.decoding import BodyDamagedError, BodyOverflowError, decode_body


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 5)), min_size=1, max_size=20), st.integers(1, 64))
def test_members_and_the_zeros_behind_them_are_read_in_windows_of_any_size(
    parts: list[tuple[bytes, int]], window_bytes: int
) -> None:
    packed = b"".join(gzip.compress(part, mtime=0) + bytes(zeros) for part, zeros in parts)
    first, last = decoding._FIRST_WINDOW, decoding._LAST_WINDOW
    decoding._FIRST_WINDOW, decoding._LAST_WINDOW = window_bytes, 4 * window_bytes
    try:
        plain = b"".join(part for part, _ in parts)
        assert decode_body(packed, "gzip", len(plain)) == plain
        if plain:
            with pytest.raises(BodyOverflowError):
                decode_body(packed, "gzip", len(plain) - 1)
    finally:
        decoding._FIRST_WINDOW, decoding._LAST_WINDOW = first, last


def test_a_hundred_thousand_members_are_no_burden() -> None:
    assert decode_body(gzip.compress(b"x", mtime=0) * 100_000, "gzip", 100_000) == b"x" * 100_000


@given(st.integers(1, 60))
def test_a_body_cut_anywhere_inside_a_member_is_damaged(cut: int) -> None:
    packed = gzip.compress(b"one", mtime=0) + gzip.compress(bytes(range(256)), mtime=0)[:cut]
    with pytest.raises(BodyDamagedError):
        decode_body(packed, "gzip", 1000)
