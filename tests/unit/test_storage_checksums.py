import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.crc import crc32_combine


@given(first=st.binary(max_size=300), second=st.binary(max_size=300))
def test_combined_checksum_is_that_of_the_concatenation(first: bytes, second: bytes) -> None:
    assert crc32_combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


@given(parts=st.lists(st.binary(max_size=100)))
def test_many_parts_combine_from_left_to_right(parts: list[bytes]) -> None:
    crc = 0
    for part in parts:
        crc = crc32_combine(crc, zlib.crc32(part), len(part))
    assert crc == zlib.crc32(b"".join(parts))


@pytest.mark.parametrize("size", [2**16, 2**20 - 1, 2**23 + 5])
def test_long_second_parts_combine(size: int) -> None:
    second = b"\x5a" * size
    assert crc32_combine(zlib.crc32(b"first"), zlib.crc32(second), size) == zlib.crc32(b"first" + second)


def test_lengths_beyond_32_bits_combine_in_steps() -> None:
    step = zlib.crc32(bytes(2**20))
    crc, length = step, 2**20
    while length < 2**34:
        crc, length = crc32_combine(crc, crc, length), length * 2
    assert crc32_combine(1, crc, length) == crc32_combine(crc32_combine(1, _zeros(2**33), 2**33), _zeros(2**33), 2**33)


def _zeros(count: int) -> int:
    crc, length = zlib.crc32(b"\0"), 1
    while length < count:
        crc, length = crc32_combine(crc, crc, length), length * 2
    return crc


def test_negative_length_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        crc32_combine(1, 2, -1)
