"""CRC-32 of a concatenation from the CRC-32 of its parts (the algebra: Mark Adler's answer for zlib's crc32_combine).

A CRC is a polynomial over GF(2) modulo P. Appending n bytes multiplies what came before by x^(8n) mod P, and that power
is found by squaring: O(log n), whatever the size of the parts. Bits are reflected: x^0 is the highest bit.
"""

from functools import cache

_P = 0xEDB88320
_ONE = 1 << 31
_X = 1 << 30


def crc32_combine(first_crc: int, second_crc: int, second_bytes: int) -> int:
    """CRC-32 of A + B, given the CRC-32 of A, that of B, and the length of B in bytes (>= 0)."""
    if second_bytes < 0:
        raise ValueError(f"second_bytes {second_bytes} must not be negative")
    return _multiply(_power_of_x(8 * second_bytes), first_crc) ^ second_crc


def _multiply(left: int, right: int) -> int:
    """The product modulo P."""
    product = 0
    while left:
        if left & _ONE:
            product ^= right
        left = (left << 1) & 0xFFFFFFFF
        right = (right >> 1) ^ _P if right & 1 else right >> 1
    return product


@cache
def _squared(times: int) -> int:
    """x^(2^times) mod P."""
    if times == 0:
        return _X
    root = _squared(times - 1)
    return _multiply(root, root)


def _power_of_x(exponent: int) -> int:
    """x^exponent mod P."""
    power = _ONE
    bit = 0
    while exponent:
        if exponent & 1:
            power = _multiply(_squared(bit), power)
        exponent >>= 1
        bit += 1
    return power
