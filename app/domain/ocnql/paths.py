"""What a dotted name finds in a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Reader = Callable[[Mapping[str, Any]], list[Any]]


def reader(name: str) -> Reader:
    """A function from a record to the values that the name stands for, without nulls; none where there is nothing.

    * At each level the longest key wins: `a.b` is the key `a.b` where the object has it (even with null in it), else
      key `b` of the object at `a`. What has been chosen is not taken back, so that one name never means two things.
    * An array stands for its elements, however deep: of a condition on it, one element that fulfils it is enough.
    * An object is a value, too: it equals nothing and is not null.
    * Keys are told apart by case, as JSON does.
    """
    parts = name.split(".")
    if len(parts) == 1:
        return lambda record: _values(record.get(name))
    tails = {at: [(".".join(parts[at:end]), end) for end in range(len(parts), at, -1)] for at in range(len(parts))}

    def read(record: Mapping[str, Any]) -> list[Any]:
        found: list[Any] = []
        waiting: list[tuple[Any, int]] = [(record, 0)]
        while waiting:
            value, at = waiting.pop()
            if at == len(parts):
                found += _values(value)
            elif isinstance(value, Mapping):
                waiting += [(value[key], end) for key, end in tails[at] if key in value][:1]
            elif isinstance(value, list):
                waiting += [(each, at) for each in value]
        return found

    return read


def _values(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        return [value]
    found, waiting = [], [value]
    while waiting:
        for each in waiting.pop():
            if isinstance(each, list):
                waiting.append(each)
            elif each is not None:
                found.append(each)
    return found
