"""The write side over HTTP: create, update, upsert and delete, one by one and in batches, JSON or form bodies."""

import json
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from app.sandbox.habits import Habits
from app.sandbox.pages import error_answer, html_answer, json_answer
from app.sandbox.people import Outcome, People
from app.sandbox.wire import Answer, Request

PREFIX: Final = "people"
BATCH_MAX: Final = 100
_PAGE_MAX: Final = 1000
_TOKENS_MAX: Final = 1000
_CSRF: Final = "X-CSRF-Token"

GUIDE: Final[Mapping[str, str]] = {
    "GET /people?after_id=0&limit=100": '{"people": [...], "total": N} by id; ?email= finds one',
    "POST /people": "201; a second one with its email: 409 (habit `duplicates`); 422 for a bad email or age",
    "GET, PATCH, DELETE /people/ID": "one record by id; 404 for any other",
    "PUT /people/by-email/EMAIL": "upsert: 201 or 200",
    "POST, PUT, PATCH /people/batch": '{"people": [...]} -> {"results": [{"status", "id" or "error"}]}, each by itself',
    "POST /people/batch-delete": '{"ids": [...]} -> the same',
    "POST /people/import": '{"people": [...]} -> {"ids": [...]}, all or nothing',
}


class CsrfTokens:
    """The tokens that were given out, each with its cookie and the writes that it is still good for."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def give(self, lasts: int) -> tuple[tuple[str, str], ...]:
        """The headers of an answer that brings a new one."""
        token, cookie = secrets.token_hex(8), secrets.token_hex(8)
        self._known[token] = (cookie, lasts)
        if len(self._known) > _TOKENS_MAX:
            self._known.popitem(last=False)
        return (_CSRF, token), ("Set-Cookie", f"csrf-session={cookie}; Path=/; HttpOnly")

    def take(self, request: Request) -> bool:
        """Whether the request carries a token that is still good, with its cookie. Counts the write."""
        token = request.headers.get(_CSRF.lower(), "")
        cookie, left = self._known.get(token, ("", 0))
        if left < 1 or f"csrf-session={cookie}" not in request.headers.get("cookie", ""):
            return False
        self._known[token] = (cookie, left - 1)
        return True


def is_write_path(path: str) -> bool:
    return path.strip("/").split("/")[0] == PREFIX


def write_answer(request: Request, people: People, tokens: CsrfTokens, habits: Habits) -> Answer:
    """The answer to a call below /people."""
    if request.method in {"GET", "HEAD"}:
        answer = _read(request, people, habits)
        is_asked = habits.csrf_calls and request.headers.get(_CSRF.lower(), "").lower() == "fetch"
        return answer.plus(*tokens.give(habits.csrf_calls)) if is_asked else answer
    if habits.csrf_calls and not tokens.take(request):
        return error_answer(403, "csrf", "a token is needed; GET with X-CSRF-Token: Fetch").plus((_CSRF, "Required"))
    key = request.headers.get("idempotency-key")
    if key is None:
        return _write(request, people, habits)
    fingerprint = f"{request.method} {request.path} ".encode() + request.body
    answer = people.once(key, fingerprint, lambda: _write(request, people, habits))
    return answer or error_answer(422, "idempotency_key", "this key came with another request before")


def _read(request: Request, people: People, habits: Habits) -> Answer:
    parts = _parts(request)
    if len(parts) == 1 and parts[0].isdigit():
        return _single(people.get(int(parts[0])), habits)
    if parts:
        return _no_path(request)
    after, limit = request.query.get("after_id", "0"), request.query.get("limit", "100")
    if not (after.isdigit() and limit.isdigit()):
        return error_answer(400, "bad_parameter", "after_id and limit: accepted: whole numbers")
    email = request.query.get("email")
    found = people.rows(after_id=int(after), limit=min(int(limit), _PAGE_MAX), email=email)
    total = len(found) if email is not None else len(people)
    return json_answer(200, {"people": [_dressed(one, habits) for one in found], "total": total})


def _write(request: Request, people: People, habits: Habits) -> Answer:
    try:
        given = _body(request)
    except ValueError as problem:
        return error_answer(400, "bad_body", f"the body is not readable: {problem}")
    parts = _parts(request)
    if outcome := _write_one(request.method, parts, _unwrapped(given, habits), people, habits):
        return _single(outcome, habits)
    if parts == ["batch"] and request.method in _EACH:
        return _batch(_array(given, "people"), lambda one: _EACH[request.method](people, one, habits))
    if parts == ["batch-delete"] and request.method == "POST":
        return _batch(_array(given, "ids"), lambda one: people.delete(_number(one)))
    if parts == ["import"] and request.method == "POST":
        return _import(_array(given, "people"), people, habits)
    return _no_path(request)


def _write_one(method: str, parts: list[str], given: object, people: People, habits: Habits) -> Outcome | None:
    """What comes of a write of one record; None where the path is that of none."""
    match [method, *parts]:
        case ["POST"]:
            return people.create(given, habits)
        case ["PATCH", number] if number.isdigit():
            return people.update(int(number), given)
        case ["DELETE", number] if number.isdigit():
            return people.delete(int(number))
        case ["PUT", "by-email", email]:
            return people.upsert(email, given, habits)
    return None


def _single(outcome: Outcome, habits: Habits) -> Answer:
    if outcome.status == 500:  # noqa: PLR2004 - what `500_html` asks for
        return html_answer(500, outcome.message)
    if not outcome.is_good:
        return error_answer(outcome.status, outcome.code, outcome.message)
    if outcome.record is None or habits.written == "empty":
        return Answer(outcome.status, b"", (), record_count=1)
    shown = {"id": outcome.record["id"]} if habits.written == "id" else outcome.record
    answer = json_answer(outcome.status, _dressed(shown, habits))
    return Answer(answer.status, answer.body, answer.headers, record_count=1)


def _batch(items: list[object] | None, act: Callable[[object], Outcome]) -> Answer:
    if items is None or len(items) > BATCH_MAX:
        return error_answer(413 if items else 400, "bad_batch", f"accepted: an array of at most {BATCH_MAX}")
    outcomes = [act(one) for one in items]
    good = sum(one.is_good for one in outcomes)
    answer = json_answer(200, {"results": [_result(one) for one in outcomes]})
    return Answer(answer.status, answer.body, answer.headers, record_count=good)


def _import(items: list[object] | None, people: People, habits: Habits) -> Answer:
    if items is None or len(items) > BATCH_MAX:
        return error_answer(413 if items else 400, "bad_batch", f"accepted: an array of at most {BATCH_MAX}")
    outcomes = people.create_all(items, habits)
    bad = next((one for one in outcomes if not one.is_good), None)
    if bad is not None:
        return _single(bad, habits)
    answer = json_answer(201, {"ids": [one.record["id"] for one in outcomes if one.record]})
    return Answer(answer.status, answer.body, answer.headers, record_count=len(outcomes))


def _result(outcome: Outcome) -> dict[str, Any]:
    if not outcome.is_good:
        return {"status": outcome.status, "error": {"code": outcome.code, "message": outcome.message}}
    known = {} if outcome.record is None else {"id": outcome.record["id"], "email": outcome.record.get("email")}
    return {"status": outcome.status, **known}


_EACH: Final[Mapping[str, Callable[[People, object, Habits], Outcome]]] = {
    "POST": lambda people, one, habits: people.create(one, habits),
    "PUT": lambda people, one, habits: people.upsert(str(_member(one, "email")), one, habits),
    "PATCH": lambda people, one, _: people.update(_number(_member(one, "id")), one),
}


def _body(request: Request) -> object:
    """Raises ValueError."""
    if not request.body:
        return None
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return _form(request.body.decode())
    return json.loads(request.body)


def _form(text: str) -> dict[str, Any]:
    """`a[b]=1` as {"a": {"b": "1"}}, `a[]=1` as {"a": ["1"]}; an age that is a number is one."""
    root: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, strict_parsing=True):
        *parents, last = name.replace("]", "").split("[")
        if last:
            _inner(root, parents)[last] = int(value) if last == "age" and value.isdigit() else value
        else:
            _inner(root, parents[:-1]).setdefault(parents[-1], []).append(value)
    return root


def _inner(root: dict[str, Any], parents: Sequence[str]) -> dict[str, Any]:
    for parent in parents:
        root = root.setdefault(parent, {})
    return root


def _parts(request: Request) -> list[str]:
    return request.path.strip("/").split("/")[1:]


def _unwrapped(given: object, habits: Habits) -> object:
    return _member(given, habits.write_wrap) if habits.write_wrap else given


def _dressed(record: object, habits: Habits) -> object:
    return {habits.write_wrap: record} if habits.write_wrap else record


def _array(given: object, name: str) -> list[object] | None:
    found = _member(given, name)
    return found if isinstance(found, list) else None


def _member(given: object, name: str) -> Any:
    return given.get(name) if isinstance(given, dict) else None


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | str) and str(value).isdigit() else 0


def _no_path(request: Request) -> Answer:
    accepted = "; ".join(GUIDE)
    return error_answer(404, "not_found", f"{request.method} {request.path[:200]!r} is no write; accepted: {accepted}")
