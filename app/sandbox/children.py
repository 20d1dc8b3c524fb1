"""What belongs to records: the group that each one names, read by its key, and the notes below each one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from app.sandbox.pages import error_answer
from app.sandbox.records import GROUPS
from app.sandbox.wire import Answer

_NOTES_MAX: Final = 100


class Child(NamedTuple):
    """A path beside the lists, "*" for any part. `answer` gets its parts, the query and how many records there are."""

    parts: tuple[str, ...]
    answer: Callable[[Sequence[str], Mapping[str, str], int], Answer]
    about: str


def expected_group(name: str) -> bytes:
    """A group, exactly as it is served."""
    return b'{"id":"%s","title":"Group %s","quota":%d.50}' % (name.encode(), name.upper().encode(), GROUPS.index(name))


def expected_notes(n: int) -> list[bytes]:
    """The notes of record ``n``: none to three of them."""
    return [b'{"id":"%d-%d","record":%d,"weight":%d.10}' % (n, at, n, at) for at in range(n % 4)]


def child_of(path: str) -> str | None:
    """The name of what lies at this path; None if it is none of these."""
    parts = path.strip("/").split("/")
    fits = (name for name, child in CHILDREN.items() if len(parts) == len(child.parts) and _matches(parts, child.parts))
    return next(fits, None)


def child_answer(name: str, path: str, query: Mapping[str, str], records: int) -> Answer:
    """The answer of what `child_of` named."""
    return CHILDREN[name].answer(path.strip("/").split("/"), query, records)


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(wish in {"*", part} for part, wish in zip(parts, wanted, strict=True))


def _groups(_parts: Sequence[str], _query: Mapping[str, str], _records: int) -> Answer:
    return Answer(200, b"[" + b",".join(map(expected_group, GROUPS)) + b"]", record_count=len(GROUPS))


def _group(parts: Sequence[str], _query: Mapping[str, str], _records: int) -> Answer:
    if parts[1] not in set(GROUPS):
        return error_answer(404, "not_found", f"there is no group {parts[1][:50]!r}")
    return Answer(200, expected_group(parts[1]), record_count=1)


def _notes(parts: Sequence[str], query: Mapping[str, str], records: int) -> Answer:
    if not parts[1].isascii() or not parts[1].isdigit() or not 1 <= int(parts[1]) <= records:
        return error_answer(404, "not_found", f"there is no record {parts[1][:50]!r}")
    page, size = query.get("page", "1"), query.get("per_page", str(_NOTES_MAX))
    if not (page.isdigit() and size.isdigit() and int(page) and int(size)):
        return error_answer(400, "bad_parameter", "page and per_page: accepted: whole numbers from 1")
    size_used = min(int(size), _NOTES_MAX)
    all_notes, start = expected_notes(int(parts[1])), (int(page) - 1) * size_used
    notes = all_notes[start : start + size_used]
    body = b'{"notes":[%s],"total":%d}' % (b",".join(notes), len(all_notes))
    return Answer(200, body, record_count=len(notes))


CHILDREN: Final[Mapping[str, Child]] = {
    "groups": Child(("groups",), _groups, "the five groups that records name"),
    "group": Child(("groups", "*"), _group, "one of them; 404 for any other"),
    "notes": Child(("records", "*", "notes"), _notes, "the notes below one record: ?page=1&per_page=100"),
}
