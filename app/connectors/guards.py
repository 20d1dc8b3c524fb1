"""Finding a loop of cursors, of any length, with a state of constant size that can lie in the cursor itself.

Brent's method: remember one earlier cursor and move that mark ahead at each power of two steps. Once the chain is
inside a loop and the power exceeds the loop's length, the mark comes round again.
"""

from __future__ import annotations

import hashlib
from typing import Any

from app.connectors.faults import PageFault


def print_of(text: str | bytes) -> str:
    """A short digest that stands for a cursor or a page."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return hashlib.blake2b(data, digest_size=9).hexdigest()


def advance_guard(guard: dict[str, Any] | None, mark: str) -> dict[str, Any]:
    """The guard after the chain came to `mark`. Raises PageFault `loop` when it has been there."""
    if guard is None:
        return {"mark": mark, "power": 1, "steps": 0}
    if mark == guard["mark"]:
        raise PageFault("loop", f"The cursors go round: one came back after {guard['steps'] + 1} pages.")
    if guard["steps"] + 1 == guard["power"]:
        return {"mark": mark, "power": guard["power"] * 2, "steps": 0}
    return {**guard, "steps": guard["steps"] + 1}
