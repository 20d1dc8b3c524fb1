"""Many lines without their null fields at once, by a pattern whose groups are all that is kept of a line, in order.

Joined, the groups are the line that the exact way (`rewriting`) makes. A comma goes with the member behind it, but
before the first member that is always kept with the one before it: so what may be missing takes its comma along.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from app.domain.layout import ARRAY_WITHOUT_NULL, ARRAYS, MOST_MEMBERS, Kind, Layout, Seen, UnfitError
from app.domain.learning import LearnedPattern

_NEWLINE = ord("\n")

_LOOSE_END = "end"
"""The group of the brace that ends a line where a comma may come before it: none of several members is always kept."""
_LOOSE_ENDS = (b",}", b", }")

_KEPT, _LEFT, _MIXED = "kept", "left", "mixed"
_Piece = tuple[str, bytes]
"""A part of a pattern: text that is kept, text that is left out, or a pattern that has groups for what is kept."""


class Cutting:
    """Cuts lines by what was learned of those before them; `cut_one` cuts a line that is laid out in another way."""

    def __init__(self, cut_one: Callable[[bytes], bytes]) -> None:
        self._cut_one = cut_one
        self._learned = LearnedPattern(Layout(), cutting_pattern, lambda match: not match[match.re.groups])

    def cut(self, lines: Sequence[bytes], block: bytes) -> list[bytes]:
        """What is kept of each line. `block`: the same lines, each with its newline."""
        pattern = self._learned.compiled
        found = pattern.findall(block) if pattern else ()
        if len(found) != len(lines):
            self._learned.note(block)
            return [self._cut_one(line) for line in lines]
        cut = [b"".join(groups) for groups in found]
        if pattern and _LOOSE_END in pattern.groupindex:
            cut = [line[: line.rindex(b",")] + b"}" if line.endswith(_LOOSE_ENDS) else line for line in cut]
        odd = [number for number, line in enumerate(cut) if line[-1] == _NEWLINE]
        odd_bytes = sum(len(cut[number]) for number in odd)
        self._learned.note(b"".join([cut[number] for number in odd]), len(block) - odd_bytes)
        for number in odd:
            cut[number] = self._cut_one(lines[number])
        return cut


def cutting_pattern(layout: Layout) -> bytes | None:
    """A pattern of lines with their newlines. Its groups are what is kept, but the last: a line laid out otherwise.

    None where nothing is known of the lines, too much, or where none of several members of an inner object is always
    there and never null.
    """
    if layout.root is None or layout.width > MOST_MEMBERS:
        return None
    try:
        pieces = _Builder(layout.gap).pieces(layout.root, is_line=True)
    except UnfitError:
        return None
    return _joined([*pieces, (_LEFT, rb"\n")]) + rb"|(.*\n)"


def _joined(pieces: Iterable[_Piece]) -> bytes:
    """One pattern, with a group around each run of what is kept."""
    text = b""
    run = b""
    for manner, piece in pieces:
        if not piece:
            continue
        if manner == _KEPT:
            run += piece
            continue
        text += (b"(" + run + b")" if run else b"") + piece
        run = b""
    return text + (b"(" + run + b")" if run else b"")


def _either(alternatives: Sequence[list[_Piece]]) -> _Piece:
    """One piece that stands for any of these."""
    manners = {manner for pieces in alternatives for manner, text in pieces if text}
    if len(manners) <= 1 and _MIXED not in manners:
        texts = [b"".join(text for _, text in pieces) for pieces in alternatives]
        return (manners.pop() if manners else _LEFT), _any_of(texts)
    return _MIXED, _any_of([_joined(pieces) for pieces in alternatives])


def _any_of(texts: Sequence[bytes]) -> bytes:
    return texts[0] if len(texts) == 1 else b"(?:" + b"|".join(texts) + b")"


class _Builder:
    """Turns what was seen of a value into pieces."""

    def __init__(self, gap: bytes) -> None:
        self._gap = gap
        self._comma = b"," + gap

    def pieces(self, value: Seen, *, is_line: bool = False) -> list[_Piece]:
        """An object with members. Raises UnfitError where nobody could say which comma goes."""
        members = list((value.members or {}).items())
        first = next((place for place, (_, inner) in enumerate(members) if _is_kept(inner)), None)
        is_loose = first is None and len(members) > 1
        if is_loose and not is_line:
            raise UnfitError
        needed = [place for place, (_, inner) in enumerate(members) if not inner.is_optional]
        pieces = [(_KEPT, rb"\{")]
        for place, (name, inner) in enumerate(members):
            before, behind = b"", self._comma_behind(place, members, needed)
            if first is not None:
                before = self._comma if place > first else b""
                behind = self._comma if place < first else b""
            pieces += self._member(name, inner, before, behind)
        end = (_MIXED, b"(?P<%b>\\})" % _LOOSE_END.encode()) if is_loose else (_KEPT, rb"\}")
        return [*pieces, end]

    def _comma_behind(self, place: int, members: Sequence[tuple[str, Seen]], needed: Sequence[int]) -> bytes:
        if place == len(members) - 1:
            return b""
        return self._comma if needed and place < needed[-1] else b"(?:" + self._comma + b"|)"

    def _member(self, name: str, value: Seen, before: bytes, behind: bytes) -> list[_Piece]:
        label = before + b'"' + re.escape(name.encode()) + b'":' + self._gap
        ways = [[(manner, label + text + behind)] for manner, text in _plain_ways(value)]
        if value.members:
            ways.append([(_KEPT, label), *self.pieces(value), (_KEPT, behind)])
        if value.is_optional:
            ways.append([])
        return ways[0] if len(ways) == 1 else [_either(ways)]


def _is_kept(value: Seen) -> bool:
    """Whether it is in every line, and null in none."""
    return not value.is_optional and Kind.NULL not in value.kinds


def _plain_ways(value: Seen) -> Iterator[_Piece]:
    """What it may be but an object with members. Arrays in which something may have to go fit no pattern."""
    kept = [
        ARRAY_WITHOUT_NULL if kind in ARRAYS else kind.value for kind in value.widest_kinds if kind is not Kind.NULL
    ]
    if kept:
        yield _KEPT, _any_of(kept)
    if Kind.NULL in value.kinds:
        yield _LEFT, Kind.NULL.value
