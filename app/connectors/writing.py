"""Writing records of one object to a vendor: from rows to one call, and from its answer to a verdict for each row.

Never retries, never waits: what is to be sent again, and when, is the caller's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.connectors.batch_answers import read_batch
from app.connectors.client import Pending, Sender
from app.connectors.csrf import CsrfSession
from app.connectors.look_ups import LookUp, LookUpCall, unclear
from app.connectors.model import Connector, ErrorClass
from app.connectors.objects import find_object
from app.connectors.outgoing import Outgoing, given_path, with_headers
from app.connectors.redaction import Redactor
from app.connectors.room import Room
from app.connectors.uploads import check_upload
from app.connectors.write_bodies import (
    FORM,
    JSON,
    UnsendableError,
    batch_body,
    key_of,
    single_body,
)
from app.connectors.write_model import BatchSpec, FieldType, WriteSpec
from app.connectors.write_results import (
    Absent,
    Found,
    LookUpResult,
    OutRow,
    Postponed,
    Refused,
    RowOutcome,
    Unclear,
    Unknown,
    WriteResult,
    Written,
)
from app.connectors.write_verdicts import Judge, WriteAnswer, text_at
from app.domain.uploads import RowVerdict, UploadAction
from app.errors import ConfigError
from app.http_client import Beat, Request, Response, TransportError

__all__ = [
    "Absent",
    "Found",
    "LookUpCall",
    "LookUpResult",
    "OutRow",
    "Postponed",
    "Refused",
    "RowOutcome",
    "Unclear",
    "Unknown",
    "WriteCall",
    "WriteClient",
    "WriteResult",
    "Written",
    "check_upload",
]

_BOM = b"\xef\xbb\xbf"


class WriteClient:
    """Writes one object of one instance. Cheap to make; holds the credentials, so it is never logged.

    For one thread. `path`: in the place of the declared one; then rows are sent one by one.
    """

    def __init__(
        self,
        connector: Connector,
        object_name: str,
        action: UploadAction,
        identifier: str,
        config: Mapping[str, str],
        secrets: Mapping[str, str],
        http: Sender,
        *,
        path: str = "",
    ) -> None:
        """Raises InvalidInputError as `check_upload` does, SettingsInvalidError for a base URL that is none."""
        self._identifier = check_upload(connector, object_name, action, identifier, path)
        self._connector, self._http, self._action = connector, http, action
        self._object = find_object(connector, object_name)
        self._redactor = Redactor(connector, config, secrets)
        self._outgoing = Outgoing(connector, object_name, config, secrets)
        self._judge = Judge(connector, self._object.writes.verdicts, action, self._redactor)
        self._single, self._batch = self._object.writes.operation(action), self._object.writes.batch(action)
        if path and self._single is not None:
            self._single, self._batch = replace(self._single, path=given_path(path)), None
        self._csrf = (
            CsrfSession(connector, connector.csrf, self._outgoing, self._redactor, http) if connector.csrf else None
        )

    def __repr__(self) -> str:
        return f"WriteClient({self._connector.key}, {self._object.name}, {self._action})"

    @property
    def identifier(self) -> str:
        """Dotted name of the field that tells which record a row is; empty where none is known."""
        return self._identifier

    @property
    def most_rows(self) -> int:
        """Rows a call, at most."""
        return self._batch.most_rows if self._batch is not None else 1

    @property
    def is_repeatable(self) -> bool:
        """Whether sending a row twice is harmless: an update, upsert or delete, or it carries an idempotency key."""
        is_keyed = self._single is not None and bool(self._single.idempotency)  # never beside a batch of creates
        return is_keyed or self._action is not UploadAction.CREATE

    @property
    def can_look_up(self) -> bool:
        """Whether the vendor can be asked if a row is there."""
        return bool(self._looked_up_field)

    @property
    def look_up_after_s(self) -> float:
        """How long after a row was sent `Absent` proves that the vendor will not have it: a late answer may commit."""
        look_up = self._object.writes.look_up
        return look_up.after_s if look_up is not None else 0.0

    @property
    def field_types(self) -> Mapping[str, FieldType]:
        """Dotted name -> what the field holds; others are text."""
        return dict(self._object.writes.fields)

    def room(self) -> Room:
        """What one call can take, to be asked row by row."""
        return Room(self._batch, self._identifier)

    def start(self, rows: Sequence[OutRow], beat: Beat | None = None) -> WriteCall:
        """Begin the one call that writes `rows`; at most as many as `room` takes.

        Fetches a CSRF token first where the connector declares one and none is held; `beat` is for that, and it may
        raise Interrupted then.
        What `http` raises instead of sending (BudgetWait) is not caught.
        """
        sent = tuple(rows)
        if self._csrf is not None and (kept_off := self._csrf.fetch(beat)) is not None:
            return WriteCall(self, sent, kept_off, None)
        token = self._csrf.token if self._csrf is not None else None
        spec = self._spec_for(sent)
        try:
            request = self._request(spec, sent)
            if self._csrf is not None:
                request = with_headers(request, *self._csrf.headers)
            return WriteCall(self, sent, self._http.start(request), token)
        except UnsendableError as error:
            return WriteCall(self, sent, _refused(ErrorClass.DATA, self._redactor.cut(f"not sent: {error}")), token)
        except ConfigError as error:
            return WriteCall(self, sent, _refused(ErrorClass.CONFIG, str(error)), token)

    def start_look_up(self, row: OutRow) -> LookUpCall:
        """Begin the one call that asks whether `row` is there. Only where `can_look_up`."""
        spec, field = self._object.writes.look_up, self._looked_up_field
        if spec is None or not field:
            return LookUpCall(None, unclear("the connector does not say how to look records up"))
        try:
            wanted = key_of(row.record, field)
            if not wanted:
                return LookUpCall(None, unclear(f"the row has no value in {field!r}, by which it is looked up"))
            pointer = spec.id_at if spec.id_at is not None else self._object.id
            request = self._outgoing.request(spec, "GET", key=wanted, identifier=field)
            asked = LookUp(self._connector, spec, self._redactor, field, wanted, pointer)
            return LookUpCall(asked, self._http.start(request))
        except (ConfigError, UnsendableError) as error:
            return LookUpCall(None, unclear(str(error)))

    def read(self, call: WriteCall, pending: Pending, beat: Beat | None) -> WriteResult:
        """What the answer says of the rows. Raises Interrupted."""
        try:
            response = pending.result(beat)
        except ConfigError as error:
            return _refused(ErrorClass.CONFIG, str(error))
        except TransportError as error:
            if error.kind == "refused_address":
                return _refused(ErrorClass.CONFIG, self._redactor.cut(str(error)))
            return self._judge.unreached(error)
        if self._csrf is not None:
            self._csrf.keep_cookies(response.headers)
        return self._judged(call, response)

    def _judged(self, call: WriteCall, response: Response) -> WriteResult:
        spec = self._spec_for(call.rows)
        answer = WriteAnswer(response.status, response.headers, response.body.removeprefix(_BOM))
        if self._csrf is not None and self._csrf.renews(call.rows, call.token, response):
            return self._judge.renewed(answer)
        pointer = spec.id_at if spec.id_at is not None else self._object.id
        if isinstance(spec, BatchSpec):
            return read_batch(self._judge, spec, call.rows, answer, self._identifier, pointer)
        answer = replace(answer, quoted=text_at(answer.body, spec.error_at))
        outcome = self._judge.judge(answer, pointer, needs_id=spec.id_at is not None)
        if not isinstance(outcome, RowOutcome):
            return outcome
        return Refused(outcome) if outcome.verdict.is_failure else Written((outcome,))

    def _request(self, spec: WriteSpec | BatchSpec, rows: Sequence[OutRow]) -> Request:
        """Raises UnsendableError, ConfigError."""
        if isinstance(spec, BatchSpec):
            body = batch_body(spec, [each.record for each in rows], self._identifier)
            headers = {"Content-Type": JSON}
            return self._outgoing.request(spec, spec.method, body=body, headers=headers, identifier=self._identifier)
        (row,) = rows
        key = key_of(row.record, self._identifier) or ""
        if spec.needs_identifier and not key:
            raise UnsendableError(f"the row has no value in {self._identifier!r}, its identifier")
        content = {} if spec.body == "none" else {"Content-Type": FORM if spec.body == "form" else JSON}
        keyed = {spec.idempotency: row.key} if spec.idempotency else {}
        return self._outgoing.request(
            spec,
            spec.method,
            body=single_body(spec, row.record, self._identifier),
            headers=content | keyed,
            key=key,
            identifier=self._identifier,
        )

    def _spec_for(self, rows: Sequence[OutRow]) -> WriteSpec | BatchSpec:
        """A row alone goes by the call for one record, where there is one."""
        spec = self._single if len(rows) == 1 and self._single is not None else self._batch or self._single
        if spec is None or not rows:
            raise ValueError("no rows, or an operation that nobody declared")
        return spec

    @property
    def _looked_up_field(self) -> str:
        look_up = self._object.writes.look_up
        return (look_up.field or self._identifier) if look_up is not None else ""


class WriteCall:
    """One call under way, or one that could not even be begun. Ask for the result once, or abandon it."""

    def __init__(
        self, client: WriteClient, rows: tuple[OutRow, ...], sent: Pending | Postponed | Refused, token: str | None
    ) -> None:
        self.rows = rows
        self.token = token
        """The CSRF token that it carries."""
        self._client = client
        self._given = sent if isinstance(sent, Postponed | Refused) else None
        self.pending = None if isinstance(sent, Postponed | Refused) else sent
        """What is on the way; None when there is nothing to wait for."""

    @property
    def is_put_off(self) -> bool:
        """Nothing can be sent for now: it was not begun, nor would the next one be."""
        return isinstance(self._given, Postponed)

    @property
    def is_over(self) -> bool:
        """Whether `result` returns without waiting."""
        return self._given is not None or bool(getattr(self.pending, "is_over", False))

    def result(self, beat: Beat | None = None) -> WriteResult:
        """What became of the rows. Raises Interrupted when `beat` says stop."""
        if self._given is not None:
            return self._given
        if self.pending is None:
            raise RuntimeError("nothing was begun")
        return self._client.read(self, self.pending, beat)

    def abandon(self) -> bool:
        """Break it off. Returns whether the vendor may have taken it."""
        if self.pending is None:
            return False
        is_sent = self.pending.is_sent
        self.pending.abandon()
        return is_sent


def _refused(error_class: ErrorClass, text: str) -> Refused:
    return Refused(RowOutcome(RowVerdict.FAILED, None, None, error_class, text))
