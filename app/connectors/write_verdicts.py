"""The one table of what an answer to a write means for a record. A connector's `verdicts` go first, then `errors`.

The line that matters runs between what was surely not processed (it may be sent again) and what may have been.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from app.connectors.classify import Verdict, matches
from app.connectors.model import Action, Connector, ErrorClass, ErrorRule
from app.connectors.pointers import Missing, find_raw, find_value
from app.connectors.redaction import Redactor
from app.connectors.scanner import NotJsonError, decode_small
from app.connectors.waits import stated_wait_s
from app.connectors.write_model import Meaning, VerdictRule
from app.connectors.write_results import Postponed, RowOutcome, Unknown
from app.domain.uploads import RowVerdict, UploadAction
from app.http_client import Headers, Kind, TransportError

Judgement = RowOutcome | Postponed | Unknown

_GOOD, _REDIRECT, _CLIENT, _SERVER = 200, 300, 400, 500
_CREATED = 201
_CONFLICT = 409

_SUCCESS: Mapping[UploadAction, RowVerdict] = {
    UploadAction.CREATE: RowVerdict.CREATED,
    UploadAction.UPDATE: RowVerdict.UPDATED,
    UploadAction.UPSERT: RowVerdict.UPSERTED,
    UploadAction.DELETE: RowVerdict.DELETED,
}
_MEANT: Mapping[Meaning, tuple[RowVerdict, ErrorClass | None, str]] = {
    Meaning.CREATED: (RowVerdict.CREATED, None, ""),
    Meaning.UPDATED: (RowVerdict.UPDATED, None, ""),
    Meaning.DELETED: (RowVerdict.DELETED, None, ""),
    Meaning.EXISTED: (RowVerdict.EXISTED, None, "the record was there already"),
    Meaning.DUPLICATE: (RowVerdict.FAILED, ErrorClass.DUPLICATE, "the record is there already"),
    Meaning.INVALID: (RowVerdict.FAILED, ErrorClass.DATA, "the vendor refused the record"),
    Meaning.MISSING: (RowVerdict.FAILED, ErrorClass.NOT_FOUND, "the vendor does not know the record"),
}
_REFUSED: Mapping[int, tuple[ErrorClass, str]] = {
    301: (ErrorClass.CONFIG, "the vendor redirects, and redirects are not followed; correct the URL"),
    307: (ErrorClass.CONFIG, "the vendor redirects, and redirects are not followed; correct the URL"),
    308: (ErrorClass.CONFIG, "the vendor redirects, and redirects are not followed; correct the URL"),
    402: (ErrorClass.PERMISSION, "the vendor asks for payment"),
    403: (ErrorClass.PERMISSION, "the credentials may not write this"),
    404: (ErrorClass.NOT_FOUND, "the vendor does not know the record or the path"),
    405: (ErrorClass.CONFIG, "the vendor refused the method"),
    410: (ErrorClass.NOT_FOUND, "the vendor says that the record is gone"),
    413: (ErrorClass.DATA, "the vendor says that this is too large"),
    415: (ErrorClass.CONFIG, "the vendor refused the form of the body"),
    501: (ErrorClass.CONFIG, "the vendor does not support the request"),
    505: (ErrorClass.CONFIG, "the vendor refused the HTTP version"),
}
_POSTPONED: Mapping[int, tuple[Action, ErrorClass, str]] = {
    401: (Action.REFRESH_AUTH, ErrorClass.AUTH, "the vendor did not accept the credentials"),
    421: (Action.RETRY, ErrorClass.TRANSIENT, "the request came to the wrong server"),
    423: (Action.RETRY, ErrorClass.TRANSIENT, "the vendor reports a lock"),
    425: (Action.RETRY, ErrorClass.TRANSIENT, "the vendor asks to send later"),
    429: (Action.WAIT, ErrorClass.RATE_LIMIT, "the vendor's rate limit is reached"),
    503: (Action.WAIT, ErrorClass.TRANSIENT, "the vendor is unavailable"),
}
_MAYBE_PROCESSED = frozenset({408})
"""Proxies say 408 of requests that the vendor behind them had."""

LONGEST_ID = 1000
"""Characters. It is kept with its row for as long as the rows are, and told in /results."""

NEVER_SENT: frozenset[Kind] = frozenset({"dns", "connect", "tls"})
"""`stale` is not among them: a vendor may commit and then close a kept connection without a word."""


@dataclass(frozen=True)
class WriteAnswer:
    """What a vendor said of one record. `body`: of the call, or the record's own result in a batch."""

    status: int
    headers: Headers
    body: bytes
    quoted: str = ""
    """What to show of it; empty: an excerpt of the body."""
    is_good: bool | None = None
    """What a result in a batch says of itself; None: its status says it."""


@dataclass(frozen=True)
class Judge:
    """Knows what a connector says about the answers to one action on one object."""

    connector: Connector
    rules: tuple[VerdictRule, ...]
    action: UploadAction
    redactor: Redactor

    def judge(self, answer: WriteAnswer, id_pointer: str | None, *, needs_id: bool = False) -> Judgement:
        """What became of the record. `needs_id`: a good answer that holds no id proves nothing."""
        rule = next((each for each in self.rules if self.action in each.actions and _fits(each, answer)), None)
        if rule is not None:
            return self._by_rule(rule, answer, id_pointer)
        declared = next((each for each in self.connector.errors if _fits(each, answer)), None)
        if declared is not None and (judgement := self._by_error(declared, answer)) is not None:
            return judgement
        is_good = _is_good(answer.status) if answer.is_good is None else answer.is_good
        return self._good(answer, id_pointer, needs_id=needs_id) if is_good else self._bad(answer)

    def unreached(self, error: TransportError) -> Postponed | Unknown:
        """What a call without an answer means."""
        text = self.redactor.cut(str(error))
        if error.kind in NEVER_SENT:
            error_class = ErrorClass.CONFIG if error.kind == "tls" else ErrorClass.TRANSIENT
            return Postponed(Verdict(Action.RETRY, error_class, text))
        return Unknown(text)

    def renewed(self, answer: WriteAnswer) -> Postponed:
        """The refusal of a CSRF token: the next call fetches another one. The credentials are not at fault."""
        text = f"HTTP {answer.status}: the vendor wants another CSRF token."
        return Postponed(Verdict(Action.RETRY, ErrorClass.AUTH, text, retry_after_s=0.0), answer.status)

    def _by_rule(self, rule: VerdictRule, answer: WriteAnswer, id_pointer: str | None) -> Judgement:
        if rule.meaning is Meaning.UNCERTAIN:
            return self._unknown(answer, rule.message or "the vendor does not tell whether it took the record")
        if rule.meaning is Meaning.RETRY:
            return self._postponed(answer, Action.RETRY, ErrorClass.TRANSIENT, rule.message or "not processed")
        verdict, error_class, text = _MEANT[rule.meaning]
        vendor_id = vendor_id_at(answer.body, rule.id_at if rule.id_at is not None else id_pointer)
        detail = self._quoted(answer, rule.message or text) if verdict.is_failure or rule.message else ""
        return RowOutcome(verdict, vendor_id, answer.status, error_class, detail)

    def _by_error(self, rule: ErrorRule, answer: WriteAnswer) -> Judgement | None:
        """What a rule for reads says of a write: nothing about 5xx, after which the record may be there."""
        if answer.status >= _SERVER and rule.error_class is not ErrorClass.RATE_LIMIT:
            return None
        if rule.action in {Action.WAIT, Action.REFRESH_AUTH}:
            return self._postponed(answer, rule.action, rule.error_class, rule.message or "to be sent again")
        if rule.action is Action.RETRY:
            if _is_good(answer.status):
                return self._unknown(answer, rule.message or "the answer is a fault by the connector's word")
            return self._postponed(answer, rule.action, rule.error_class, rule.message)
        if rule.action is Action.FAIL:
            return self._failed(answer, rule.error_class, rule.message or "the vendor refused the request")
        return None

    def _good(self, answer: WriteAnswer, id_pointer: str | None, *, needs_id: bool) -> Judgement:
        vendor_id = vendor_id_at(answer.body, id_pointer)
        text = answer.body.strip()
        is_readable = not text or self.action is not UploadAction.CREATE or _is_json(text)
        if not is_readable or text[:1] == b"<":
            return self._unknown(answer, "the answer is none that an API gives")
        if needs_id and vendor_id is None:
            return self._unknown(answer, "the answer holds no id")
        is_new = self.action is UploadAction.UPSERT and answer.status == _CREATED
        return RowOutcome(RowVerdict.CREATED if is_new else _SUCCESS[self.action], vendor_id, answer.status)

    def _bad(self, answer: WriteAnswer) -> Judgement:
        status = answer.status
        if answer.is_good is False and _is_good(status):
            return self._failed(answer, ErrorClass.DATA, "the vendor refused the record")
        if status in _POSTPONED:
            return self._postponed(answer, *_POSTPONED[status])
        if status in _REFUSED:
            return self._failed(answer, *_REFUSED[status])
        if status == _CONFLICT:
            is_create = self.action is UploadAction.CREATE
            return self._failed(
                answer, ErrorClass.DUPLICATE if is_create else ErrorClass.DATA, "the vendor reports a conflict"
            )
        if _CLIENT <= status < _SERVER and status not in _MAYBE_PROCESSED:
            return self._failed(answer, ErrorClass.DATA, "the vendor refused the record")
        return self._unknown(answer, "the vendor does not tell whether it took the record")

    def _failed(self, answer: WriteAnswer, error_class: ErrorClass, text: str) -> RowOutcome:
        return RowOutcome(RowVerdict.FAILED, None, answer.status, error_class, self._quoted(answer, text))

    def _postponed(self, answer: WriteAnswer, action: Action, error_class: ErrorClass, text: str) -> Postponed:
        wait_s = self._wait_s(answer)
        if action is Action.RETRY and wait_s is not None:
            action = Action.WAIT
        message = self.redactor.cut(f"HTTP {answer.status}: {text or 'not processed'}.")
        return Postponed(Verdict(action, error_class, message, retry_after_s=wait_s), answer.status)

    def _unknown(self, answer: WriteAnswer, text: str) -> Unknown:
        reason = self.redactor.cut(f"HTTP {answer.status}: {self._quoted(answer, text)}")
        return Unknown(reason, answer.status, self._wait_s(answer), f"HTTP {answer.status}: {text}.")

    def _wait_s(self, answer: WriteAnswer) -> float | None:
        return stated_wait_s(self.connector.wait, answer.headers, datetime.now(UTC))

    def _quoted(self, answer: WriteAnswer, text: str) -> str:
        said = self.redactor.excerpt(answer.quoted.encode("utf-8", "replace") or answer.body)
        return self.redactor.cut(f"{text}: {said}" if said else text)


def vendor_id_at(body: bytes, pointer: str | None) -> str | None:
    """The vendor's id at `pointer`; one that is too long to be an id is none."""
    found = id_at(body, pointer)
    return found if found is None or len(found) <= LONGEST_ID else None


def id_at(body: bytes, pointer: str | None) -> str | None:
    """The id at `pointer` as text; None where there is no text or number."""
    if pointer is None:
        return None
    try:
        found = find_value(body, pointer)
    except (Missing, RecursionError):
        return None
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else None


def text_at(body: bytes, pointer: str | None) -> str:
    """The text at `pointer`, or the JSON there; empty where there is none."""
    if pointer is None:
        return ""
    try:
        found = find_raw(body, pointer)
        text = b"" if found is None else bytes(found)
        return str(decode_small(text)) if text.startswith(b'"') else text.decode("utf-8", "replace")
    except (Missing, NotJsonError, RecursionError):
        return ""


def _fits(rule: VerdictRule | ErrorRule, answer: WriteAnswer) -> bool:
    if not rule.statuses and _is_good(answer.status) and answer.is_good is not False:
        return False  # as in `classify`: a rule about good answers names their status
    if answer.is_good is False and not rule.statuses and not rule.network:
        return matches(rule, _CLIENT, answer.headers, answer.body)
    return matches(rule, answer.status, answer.headers, answer.body)


def _is_good(status: int) -> bool:
    return _GOOD <= status < _REDIRECT


def _is_json(text: bytes) -> bool:
    try:
        find_value(text, "")
    except (Missing, RecursionError):
        return False
    return True
