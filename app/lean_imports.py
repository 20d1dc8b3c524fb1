"""Importing a library without the extras that it loads only because they happen to be installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Within the block these modules count as not installed, unless they are loaded already.

    For optional parts of libraries that we never use, and that would cost megabytes in every process of ours. Import
    at start only: other threads find them missing as well.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None is how Python spells "not there"
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)
