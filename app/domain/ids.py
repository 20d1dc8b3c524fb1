"""Ids that do not tell volume: a keyed permutation of a sequence number."""

from __future__ import annotations

import hashlib

_BITS = 32
_HALF = _BITS // 2
_MASK = (1 << _HALF) - 1
_ROUNDS = 6
MAX_ID = 2**31 - 1


def scatter(key: str, kind: str, number: int) -> int:
    """Map sequence number 1, 2, 3 … of `kind` to a positive id below 2^31, one to one.

    A Feistel network over 32 bits; results outside the range are fed through again (cycle walking), which keeps the
    mapping a permutation of the range. Ids fit an int32 because the vendor's clients read them so (reference 1).
    """
    if not 1 <= number <= MAX_ID:
        raise ValueError(f"sequence number {number} is outside 1..{MAX_ID}")
    digest = hashlib.sha256(f"{kind}|{key}".encode()).digest()  # BLAKE2 cuts a longer key off
    value = number
    while True:
        value = _permute(digest, value)
        if 1 <= value <= MAX_ID:
            return value


def _permute(key: bytes, value: int) -> int:
    left, right = value >> _HALF, value & _MASK
    for number in range(_ROUNDS):
        digest = hashlib.blake2b(bytes([number]) + right.to_bytes(2, "big"), key=key, digest_size=2).digest()
        left, right = right, left ^ int.from_bytes(digest, "big")
    return (left << _HALF) | right
