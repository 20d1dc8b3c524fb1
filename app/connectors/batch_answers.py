"""Reading the answer to a batch: which result belongs to which row, and what each of them says."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace

from app.connectors.pointers import Missing, find_raw, find_value
from app.connectors.scanner import NotJsonError, scan_items
from app.connectors.write_bodies import UnsendableError, key_of
from app.connectors.write_model import BatchSpec
from app.connectors.write_results import OutRow, Refused, RowOutcome, Unknown, WriteResult, Written
from app.connectors.write_verdicts import Judge, Judgement, WriteAnswer, id_at, text_at, vendor_id_at
from app.domain.uploads import RowVerdict
from app.http_client import Headers

_STATUS = re.compile(r"[0-9]{3}")
_MANY_REASON = "the answer to the batch holds {count} results for {rows} rows"


def read_batch(
    judge: Judge, spec: BatchSpec, rows: Sequence[OutRow], answer: WriteAnswer, identifier: str, id_pointer: str | None
) -> WriteResult:
    """What became of the rows. `id_pointer`: the vendor's id from the root of a result."""
    if spec.mode == "atomic":
        answer = replace(answer, quoted=text_at(answer.body, spec.error_at))
    whole = judge.judge(answer, None)
    if not isinstance(whole, RowOutcome):
        return whole
    if whole.verdict.is_failure:
        return Refused(whole)
    if whole.verdict is RowVerdict.EXISTED and len(rows) > 1:  # a rule that means one record: which one?
        return Refused(replace(whole, verdict=RowVerdict.FAILED))
    found = _results(spec, rows, answer.body, identifier)
    if spec.mode == "atomic":
        ids = [vendor_id_at(each, id_pointer) if each is not None else None for each in found or [None] * len(rows)]
        return Written(tuple(replace(whole, vendor_id=each) for each in ids))
    if found is None:
        count = len(_items(spec, answer.body))
        return Unknown(_MANY_REASON.format(count=count, rows=len(rows)), answer.status)
    return Written(tuple(_one(judge, spec, each, answer, id_pointer) for each in found))


def _one(judge: Judge, spec: BatchSpec, result: bytes | None, answer: WriteAnswer, id_pointer: str | None) -> Judgement:
    if result is None:
        return Unknown("the answer to the batch says nothing of this row", answer.status)
    status, is_good = answer.status, None
    if spec.status_at is not None:
        said = id_at(result, spec.status_at)
        if said is None or not _STATUS.fullmatch(said):
            return Unknown("the answer to the batch holds no status for this row", answer.status)
        status = int(said)
    if spec.ok_at is not None:
        is_good = _value(result, spec.ok_at) in {True, "true"}
    quoted = text_at(result, spec.error_at)
    return judge.judge(WriteAnswer(status, Headers(), result, quoted, is_good), id_pointer)


def _results(spec: BatchSpec, rows: Sequence[OutRow], body: bytes, identifier: str) -> list[bytes | None] | None:
    """The result of each row, None where there is none; None at all where results and rows cannot be told apart."""
    items = _items(spec, body)
    if spec.match == "index":
        return [*items] if len(items) == len(rows) else None
    by_key: dict[str, deque[bytes]] = defaultdict(deque)
    for item in items:
        if (key := id_at(item, spec.match)) is not None:
            by_key[key].append(item)
    keys = [_key(row, identifier) for row in rows]
    return [by_key[key].popleft() if key is not None and by_key[key] else None for key in keys]


def _items(spec: BatchSpec, body: bytes) -> list[bytes]:
    if spec.results is None:
        return []
    try:
        found = find_raw(body, spec.results)
        return (scan_items(bytes(found)) or []) if found is not None else []
    except (Missing, NotJsonError, RecursionError):
        return []


def _key(row: OutRow, identifier: str) -> str | None:
    try:
        return key_of(row.record, identifier)
    except UnsendableError:
        return None


def _value(result: bytes, pointer: str) -> object:
    try:
        found = find_value(result, pointer)
    except (Missing, RecursionError):
        return None
    return found if isinstance(found, bool | str | int) else None
