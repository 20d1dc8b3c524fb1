"""Asking a vendor whether it has a record: what settles a create whose answer never came."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.connectors.classify import Verdict, classify_response, classify_transport
from app.connectors.client import Pending
from app.connectors.model import Action, Connector, ErrorClass
from app.connectors.pointers import Missing, find_raw
from app.connectors.redaction import Redactor
from app.connectors.scanner import NotJsonError, scan_items
from app.connectors.write_bodies import UnsendableError, key_of
from app.connectors.write_model import LookUpSpec
from app.connectors.write_results import Absent, Found, LookUpResult, Unclear
from app.connectors.write_verdicts import id_at, vendor_id_at
from app.errors import ConfigError
from app.http_client import Beat, Response, TransportError

_GOOD, _NO_CONTENT = 200, 204
_ABSENT_BY_KEY = frozenset({404, 410})


@dataclass(frozen=True)
class LookUp:
    """What is asked for. `field`: dotted name in row and record. `wanted`: its value in the row."""

    connector: Connector
    spec: LookUpSpec
    redactor: Redactor
    field: str
    wanted: str
    id_pointer: str | None


class LookUpCall:
    """One look-up under way, or one that could not even be begun. Ask for the result once, or abandon it."""

    def __init__(self, asked: LookUp | None, sent: Pending | LookUpResult) -> None:
        self._asked = asked
        self._given = sent if isinstance(sent, Found | Absent | Unclear) else None
        self.pending = None if isinstance(sent, Found | Absent | Unclear) else sent

    @property
    def is_over(self) -> bool:
        """Whether `result` returns without waiting."""
        return self._given is not None or bool(getattr(self.pending, "is_over", False))

    def result(self, beat: Beat | None = None) -> LookUpResult:
        """What was found. Raises Interrupted when `beat` says stop."""
        if self._given is not None or self.pending is None or self._asked is None:
            return self._given or unclear("nothing was asked")
        try:
            return read_look_up(self._asked, self.pending.result(beat))
        except ConfigError as error:
            return unclear(str(error))
        except TransportError as error:
            verdict = classify_transport(self._asked.connector, error)
            action = Action.RETRY if verdict.action is Action.SHRINK_PAGE else verdict.action
            return Unclear(replace(verdict, action=action, message=self._asked.redactor.cut(str(error))))

    def abandon(self) -> None:
        """Break it off."""
        if self.pending is not None:
            self.pending.abandon()


def read_look_up(asked: LookUp, response: Response) -> LookUpResult:
    """What the answer says. Records that do not hold the value are no proof that there is none."""
    if response.status in _ABSENT_BY_KEY and asked.spec.is_by_key:
        return Absent()
    said = classify_response(asked.connector, response.status, response.headers, response.body)
    if said.action not in {Action.OK, Action.EMPTY}:
        return Unclear(said)
    if response.status == _NO_CONTENT:
        return Absent()
    records = _records(asked.spec, response.body)
    if records is None:
        return unclear("the answer to the look-up has no records where they are declared", Action.RETRY)
    for record in records:
        if _value(asked, record) == asked.wanted:
            return Found(vendor_id_at(record, asked.id_pointer))
    return unclear("the look-up found other records only") if records else Absent()


def unclear(text: str, action: Action = Action.FAIL) -> Unclear:
    """An answer that does not tell; with FAIL asking again will not tell either, of this one row."""
    return Unclear(Verdict(action, ErrorClass.DATA if action is Action.FAIL else ErrorClass.VENDOR, text))


def _records(spec: LookUpSpec, body: bytes) -> list[bytes] | None:
    try:
        found = find_raw(body.strip(), spec.records)
        if found is None:
            return None
        text = bytes(found).strip()
        return [text] if text.startswith(b"{") else scan_items(text)
    except (Missing, NotJsonError, RecursionError):
        return None


def _value(asked: LookUp, record: bytes) -> str | None:
    if asked.spec.match is not None:
        return id_at(record, asked.spec.match)
    try:
        return key_of(record, asked.field)
    except UnsendableError:
        return None
