"""Which fields are chosen: dotted names against the names in a record, at every depth."""

from __future__ import annotations

from collections.abc import Iterable

_MOST_KNOWN = 10_000  # names in a record may be data, so that there is no end of them


class Fields:
    """Chosen fields of one object, named from there. `whole` ones are taken with all that is in them.

    A dotted name is a path as well as, literally, a name: `a.b` is field b of a and the field "a.b"; `a.b.c` is also
    field c of "a.b".
    """

    def __init__(self, names: Iterable[str], *, whole: bool = False) -> None:
        self.whole = whole
        self._names = frozenset(names)
        self._known: dict[str, Fields | None] = {}

    def within(self, name: str) -> Fields | None:
        """What is chosen of the field `name`; None if nothing is."""
        if self.whole:
            return self
        try:
            return self._known[name]
        except KeyError:
            found = self._find(name)
            if found is not None or len(self._known) < _MOST_KNOWN:
                self._known[name] = found
            return found

    def _find(self, name: str) -> Fields | None:
        if name in self._names:
            return WHOLE
        start = name + "."
        inner = [each[len(start) :] for each in self._names if each.startswith(start)]
        return Fields(inner) if inner else None


WHOLE = Fields((), whole=True)
"""All fields, at every depth."""
