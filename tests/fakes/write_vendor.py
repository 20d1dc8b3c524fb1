"""A vendor in memory that takes records: what it was sent is in its table the moment the call begins."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from app.addresses import AddressPolicy
from app.http_client import Beat, Headers, Kind, Request, Response, TransportError
from tests.fakes.steps import Steps

BASE_URL = "https://vendor.test"
CREATED, OK, MISSING, DUPLICATE, INVALID = 201, 200, 404, 409, 422


@dataclass(frozen=True)
class Trouble:
    """What goes wrong with one call: `is_taken` tells whether the vendor acts on it all the same."""

    is_taken: bool
    status: int | None = None
    kind: Kind = "timeout"
    headers: tuple[tuple[str, str], ...] = ()


class Taken:
    """A call that was begun; the vendor has acted on it already, and the answer is on its way."""

    def __init__(self, answer: Response | TransportError, after: Callable[[], None]) -> None:
        self._answer = answer
        self._after = after
        self.is_over = False
        self.is_sent = True

    def result(self, beat: Beat | None = None) -> Response:  # noqa: ARG002 - the signature of the client
        if isinstance(self._answer, TransportError):
            raise self._answer
        self._after()
        return self._answer

    def abandon(self) -> None:
        """The vendor acts on it all the same."""


@dataclass
class WriteVendor:
    """`rows`: by e-mail. `created`: how often each e-mail was created; a vendor without a unique index lets it double.

    `script`: what goes wrong with the next calls that write, one each (None: nothing).
    """

    steps: Steps
    is_unique: bool = False
    is_keyed: bool = False
    """It knows a request by its Idempotency-Key, and answers it again as it did before."""
    is_late: bool = False
    """The first look-up comes before what was taken can be found."""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    created: Counter[str] = field(default_factory=Counter)
    script: deque[Trouble | None] = field(default_factory=deque)
    call_count: int = 0
    policy: AddressPolicy = field(default_factory=lambda: AddressPolicy.parse("http://127.0.0.0/8"))
    answers: dict[str, Response] = field(default_factory=dict)
    _on_the_way: deque[Taken] = field(default_factory=deque)

    def wait(self) -> None:
        """As app.http_client.HttpClient.wait: the answer that is on its way for longest comes."""
        if self._on_the_way:
            self._on_the_way.popleft().is_over = True

    def together(self) -> AbstractContextManager[None]:
        """As app.http_client.HttpClient.together, but each call is taken at once."""
        return nullcontext()

    def let_handles_go(self) -> None:
        """As app.http_client.HttpClient.let_handles_go: there are none."""

    def start(self, request: Request) -> Taken:
        self.steps.take("before call")
        self.call_count += 1
        is_write = request.method != "GET"
        trouble = self.script.popleft() if is_write and self.script else None
        answer: Response | TransportError | None = None
        if trouble is None or trouble.is_taken:
            answer = self._answered(request)
        if trouble is not None:
            answer = (
                TransportError(trouble.kind, f"{trouble.kind} at the vendor")
                if trouble.status is None
                else Response(trouble.status, Headers(trouble.headers), b"trouble", request.url, 0.0)
            )
        assert answer is not None
        self.steps.take("after send")
        taken = Taken(answer, lambda: self.steps.take("after call"))
        self._on_the_way.append(taken)
        return taken

    def _answered(self, request: Request) -> Response:
        key = dict(request.headers).get("Idempotency-Key")
        if self.is_keyed and key in self.answers:
            return self.answers[key]
        status, body = self._act(request)
        answer = Response(status, Headers(()), json.dumps(body).encode(), request.url, 0.0)
        if self.is_keyed and key is not None:
            self.answers[key] = answer
        return answer

    def _act(self, request: Request) -> tuple[int, Any]:
        parts = urlsplit(request.url)
        if request.method == "GET":
            wanted = parse_qs(parts.query)["email"][0]
            found = [row for email, row in self.rows.items() if email == wanted and not self.is_late]
            self.is_late = False
            return OK, found
        if parts.path == "/batch":
            return self._batch(json.loads(request.body or b""))
        record = json.loads(request.body or b"{}")
        if request.method == "POST":
            return self._create(record)
        email = parts.path.rpartition("/")[2].replace("%40", "@")
        if request.method == "DELETE":
            return (OK, {}) if self.rows.pop(email, None) else (MISSING, {"message": "no such record"})
        if request.method == "PATCH" and email not in self.rows:
            return MISSING, {"message": "no such record"}
        self.rows.setdefault(email, {"id": f"v-{len(self.rows) + 1}"}).update(record)
        return OK, self.rows[email]

    def _create(self, record: dict[str, Any]) -> tuple[int, Any]:
        email = str(record.get("email", ""))
        if "@" not in email:
            return INVALID, {"message": f"{email!r} is no e-mail address"}
        if self.is_unique and email in self.rows:
            return DUPLICATE, {"message": f"{email} is taken"}
        self.created[email] += 1
        self.rows[email] = {"id": f"v-{len(self.rows) + 1}", **record}
        return CREATED, self.rows[email]

    def _batch(self, records: list[dict[str, Any]]) -> tuple[int, Any]:
        """All or nothing."""
        wrong = [each for each in records if "@" not in str(each.get("email", ""))]
        if wrong:
            return INVALID, {"message": f"{wrong[0].get('email')!r} is no e-mail address"}
        return CREATED, [self._create(each)[1] for each in records]


def document(**overrides: Any) -> dict[str, Any]:
    """A connector of one object, `people`, that can only be written; `overrides` go into the object (None: away)."""
    people = {
        "id": "/id",
        "create": {"method": "POST", "path": "/people", "id_at": "/id"},
        "update": {"method": "PATCH", "path": "/people/{id}"},
        "upsert": {"method": "PUT", "path": "/people/{id}"},
        "delete": {"method": "DELETE", "path": "/people/{id}"},
        "fields": {"age": {"type": "integer"}},
        **overrides,
    }
    people = {name: value for name, value in people.items() if value is not None}
    return {
        "format": 1,
        "key": "vendor",
        "base_url": BASE_URL,
        "auth": {"kind": "none"},
        "objects": {"people": people},
    }
