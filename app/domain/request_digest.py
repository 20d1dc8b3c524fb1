"""What makes two requests the same one."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


def digest_of(*parts: Any) -> str:
    """SHA-256 of values that JSON can say, whatever the order of keys, in hexadecimal digits."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()
