"""Which records a request sees, in what order, and their joined bytes from a cache."""

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from app.sandbox.odata_filter import compile_filter
from app.sandbox.records import Shape, comparable, expected_record, facts

_CACHE_BYTES: Final = 128 * 1024 * 1024
_LARGEST_CACHED_BYTES: Final = 8 * 1024 * 1024

Filters = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Selection:
    """Record numbers in the order they are served. ``key`` tells apart selections that skip different records."""

    ids: Sequence[int]
    newest_first: bool
    key: object

    def after(self, last_id: int | None) -> int:
        """Index of the first record behind ``last_id`` in this order; None means the beginning."""
        if last_id is None:
            return 0
        if self.newest_first:
            return bisect_right(self.ids, -last_id, key=lambda n: -n)
        return bisect_right(self.ids, last_id)


def select(count: int, seed: int, filters: Filters, where: str = "", *, newest_first: bool) -> Selection:
    """Records 1..count that match all ``filters`` (field, text) and ``where``, an OData filter.

    Raises BadFilterError.
    """
    ids: Sequence[int] = _matching(count, seed, filters, where) if filters or where else range(1, count + 1)
    return Selection(ids[::-1] if newest_first else ids, newest_first, (filters, where, newest_first))


def within(selection: Selection, *, first: int, last: int) -> Selection:
    """The records of the selection whose numbers are ``first`` to ``last``."""
    ids = selection.ids
    if selection.newest_first:
        start, stop = bisect_left(ids, -last, key=lambda n: -n), bisect_right(ids, -first, key=lambda n: -n)
    else:
        start, stop = bisect_left(ids, first), bisect_right(ids, last)
    return replace(selection, ids=ids[start:stop])


EMPTY: Final = Selection(ids=(), newest_first=False, key=None)


@lru_cache(maxsize=16)
def _matching(count: int, seed: int, filters: Filters, where: str) -> tuple[int, ...]:
    take = compile_filter(where) if where else None

    def fits(n: int) -> bool:
        known = facts(n, seed)
        return all(getattr(known, field) == value for field, value in filters) and (
            take is None or take(comparable(n, seed))
        )

    return tuple(n for n in range(1, count + 1) if fits(n))


class PageCache:
    """Joined record bytes of pages, least recently used out, at most 128 MiB. Safe for threads."""

    def __init__(self) -> None:
        self._pages: OrderedDict[object, bytes] = OrderedDict()
        self._held_bytes = 0
        self._lock = threading.Lock()

    def joined(self, selection: Selection, start: int, stop: int, shape: Shape) -> bytes:
        """Records ``start`` to ``stop`` (exclusive) of the selection, joined by commas."""
        if start >= stop:
            return b""
        ids = selection.ids
        key = (shape, selection.key, ids[start], ids[stop - 1], stop - start)
        with self._lock:
            page = self._pages.get(key)
            if page is not None:
                self._pages.move_to_end(key)
                return page
        page = b",".join([expected_record(ids[i], shape) for i in range(start, stop)])
        self._keep(key, page)
        return page

    def _keep(self, key: object, page: bytes) -> None:
        if len(page) > _LARGEST_CACHED_BYTES:
            return
        with self._lock:
            if key not in self._pages:
                self._pages[key] = page
                self._held_bytes += len(page)
            while self._held_bytes > _CACHE_BYTES:
                self._held_bytes -= len(self._pages.popitem(last=False)[1])
