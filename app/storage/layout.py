"""The pattern of records that are laid out alike, with a group for each CSV column."""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.domain import layout as domain
from app.domain.layout import ARRAYS, MOST_MEMBERS, WITHOUT_TEXT, Seen
from app.storage.shape import Tree


class Layout(domain.Layout):
    """Its pattern, with groups for columns."""

    def pattern(self, columns: Tree | None = None) -> bytes | None:
        """What a line with its newline looks like; None where nothing is known, or too much.

        Without columns there is one group: a line that is laid out in another way. With columns there is a group for
        each that may have text, `cN` for column N or `aN` if that may be an array; and all groups of such a line are
        empty.
        """
        if self.root is None or self.width > MOST_MEMBERS:
            return None
        return self._object(self.root, columns) + (rb"\n|.*\n" if columns else rb"\n|(.*\n)")

    def _object(self, value: Seen, columns: Tree | None) -> bytes:
        members = list((value.members or {}).items())
        needed = [place for place, (_, inner) in enumerate(members) if not inner.is_optional]
        text = b""
        for place, (name, inner) in enumerate(members):
            comma = b"," + self.gap
            if place == len(members) - 1:
                comma = b""
            elif not needed or place >= needed[-1]:
                comma = b"(?:" + comma + b"|)"
            text += self._member(name, inner, columns, comma)
        return rb"\{" + text + rb"\}"

    def _member(self, name: str, value: Seen, columns: Tree | None, comma: bytes) -> bytes:
        column = columns.fields.get(name) if columns else None
        inner = b"|".join(self._alternatives(value, column))
        text = b'"' + re.escape(name.encode()) + b'":' + self.gap + b"(?:" + inner + b")" + comma
        return b"(?:" + text + b"|)" if value.is_optional else text

    def _alternatives(self, value: Seen, column: Tree | None) -> Iterator[bytes]:
        kinds = value.widest_kinds
        if with_text := b"|".join(kind.value for kind in kinds if kind not in WITHOUT_TEXT):
            if column is None or column.column is None:
                yield with_text
            else:
                letter = b"a" if ARRAYS.intersection(kinds) else b"c"
                yield b"(?P<%b%d>%b)" % (letter, column.column, with_text)
        yield from (kind.value for kind in kinds if kind in WITHOUT_TEXT)
        is_shown_as_text = column is not None and not column.fields
        if value.members and not is_shown_as_text:
            yield self._object(value, column)
