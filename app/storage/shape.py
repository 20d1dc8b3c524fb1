"""Records as rows of raw values: a structure compiled from column paths, decoded by msgspec in C.

A value is the vendor's JSON text (`Raw`), a missing one the given default. This costs a third of decoding into dicts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from app.storage.json_text import UNDECODABLE

Path = tuple[str, ...]
Row = tuple[Any, ...]  # of Raw or bytes
_UNFIT = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')  # what msgspec takes in no field's name
Extract = Callable[[list[Any]], list[Row]]


class Tree:
    """Fields by name, each with its name in the structure. A field with fields may be a column (its number) too."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.fields: dict[str, Tree] = {}
        self.column: int | None = None

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Tree:
        root = cls()
        for number, path in enumerate(paths):
            node = root
            for name in path:
                node = node.field(name)
            node.column = number
        return root

    def field(self, name: str) -> Tree:
        """The field of that name, added if it is new."""
        if name not in self.fields:
            self.fields[name] = Tree(f"f{len(self.fields)}")
        return self.fields[name]


class Shape:
    """What records with these columns look like. `closed` shapes refuse records with any other field."""

    def __init__(self, paths: Sequence[Path], *, closed: bool = False, missing: bytes = b"") -> None:
        self.paths = paths
        self.missing = Raw(missing)
        self.tree = Tree.of(paths)
        self._decoder = msgspec.json.Decoder(self._struct(self.tree, closed)) if _fit_for_struct(paths) else None
        self._extract = self.extractor(())

    def rows(self, block: bytes) -> list[Any]:
        """One structure a line, for an extractor of this shape.

        Raises one of UNDECODABLE if a record does not fit.
        """
        if self._decoder is None:
            raise msgspec.ValidationError("a name cannot be that of a structure's field")
        return self._decoder.decode_lines(block)

    def covers(self, block: bytes) -> bool:
        """Whether these columns are all that the records of the block have."""
        try:
            rows = self.rows(block)
        except UNDECODABLE:
            return False
        if block.count(b"{") == len(rows):
            return True
        # No JSON line has a raw newline inside, so this one is followed by a brace only where a value is an object.
        return b"\n{" not in b"".join([b"\n" + b"\n".join(row) for row in self._extract(rows)])

    def extractor(self, checked: Iterable[int], cell: Callable[[Raw], bytes] = bytes) -> Extract:
        """A function from structures to rows in the order of the columns; columns `checked` go through `cell`.

        It is compiled, since a loop over names would take five times as long. Only our own numbers are in its text.
        """
        through_cell = set(checked)
        places = [self._place(path) for path in self.paths]
        values = [f"cell({place})" if index in through_cell else place for index, place in enumerate(places)]
        source = f"lambda rows: [({' '.join(f'{value},' for value in values)}) for r in rows]"
        extract: Extract = eval(source, {"cell": cell, "missing": self.missing})  # noqa: S307
        return extract

    def _place(self, path: Path) -> str:
        node, place, guards = self.tree, "r", ""
        for depth, name in enumerate(path):
            if depth:
                guards += f"missing if {place} is None else "
            node = node.fields[name]
            place += f".{node.name}"
        return f"({guards}missing)" if node.fields else f"({guards}{place})"

    def _struct(self, tree: Tree, closed: bool) -> type[msgspec.Struct]:
        fields: list[tuple[str, Any, Any]] = []
        for name, field in tree.fields.items():
            inner: Any = self._struct(field, closed) if field.fields else Raw
            if field.fields and (field.column is not None or not closed):
                inner |= None  # else a null is not what an object leaves out: it makes the field a column
            default = None if field.fields else self.missing
            fields.append((field.name, inner, msgspec.field(name=name, default=default)))
        return msgspec.defstruct("Record", fields, gc=False, forbid_unknown_fields=closed)


def _fit_for_struct(paths: Iterable[Path]) -> bool:
    return not any(_UNFIT.search(name) for path in paths for name in path)
