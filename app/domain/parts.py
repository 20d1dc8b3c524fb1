"""How large the parts of an upload are, where the other side limits their size and number.

Limits of S3 (docs.aws.amazon.com, "Amazon S3 multipart upload limits"): parts of 5 MiB to 5 GiB, the last one may be
shorter; at most 10,000 of them; 5 TiB an object. Cloudflare R2 wants all parts but the last equally long
(developers.cloudflare.com/r2/objects/multipart-objects), so the size is settled before the first part.
"""

from __future__ import annotations

MIB = 1024 * 1024
LEAST_PART_BYTES = 5 * MIB
MOST_PARTS = 10_000
MOST_OBJECT_BYTES = 5 * 1024 * 1024 * MIB
USUAL_PART_BYTES = 8 * MIB
"""Enough that a round trip a part does not count, for up to 84 GB."""
MOST_AT_ONCE = 4
_MEMORY_BYTES = 64 * MIB


def part_bytes(most_bytes: int) -> int:
    """Length of each part but the last, in whole MiB, for an object of up to `most_bytes` (at most 5 TiB)."""
    needed = -(-most_bytes // MOST_PARTS)
    return max(USUAL_PART_BYTES, -(-needed // MIB) * MIB)


def parts_at_once(size: int) -> int:
    """How many parts of `size` bytes are sent beside each other while one more is filled.

    They and that one stay within some 64 MiB where parts are small enough for it; of larger ones one is sent at a time.
    """
    return max(1, min(MOST_AT_ONCE, _MEMORY_BYTES // size - 1))
