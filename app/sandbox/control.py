"""The control API: what tests and people set from outside. It asks for no credential; bind it to loopback."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.sandbox.accounts import LOG_LINES, Account, Accounts
from app.sandbox.auth import NAME
from app.sandbox.guide import vocabulary
from app.sandbox.pages import error_answer, json_answer
from app.sandbox.vocabulary import BadDocumentError
from app.sandbox.wire import Answer, Request

PREFIX: Final = "/_control"


class Control:
    """Answers ``/_control/...``."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def answer(self, request: Request) -> Answer:
        parts = request.path.removeprefix(PREFIX).strip("/").split("/")
        match [request.method, *parts]:
            case ["GET", "vocabulary"]:
                return json_answer(200, vocabulary())
            case ["GET", "accounts"]:
                return json_answer(200, {"accounts": self._accounts.names()})
            case [_, "accounts", name, *_] if not NAME.fullmatch(name):
                return error_answer(400, "bad_document", f"name: {name!r} is not accepted; accepted: {NAME.pattern}")
            case ["DELETE", "accounts", name]:
                self._accounts.forget(name)
                return Answer(204, b"", ())
            case [method, "accounts", name, *rest] if (method, *rest) in _ACTIONS:
                return self._act(_ACTIONS[method, *rest], self._accounts.named(name), request)
        return error_answer(404, "not_found", f"{request.method} {request.path[:200]} is no control call; see GET /")

    @staticmethod
    def _act(action: "Action", account: Account, request: Request) -> Answer:
        try:
            return action(account, request)
        except BadDocumentError as problem:
            return error_answer(400, "bad_document", str(problem))


Action = Callable[[Account, Request], Answer]


def _document(request: Request) -> Mapping[str, Any]:
    try:
        document = json.loads(request.body or b"null")
    except ValueError as problem:
        raise BadDocumentError("body", request.body[:100].decode("latin-1"), f"a JSON object ({problem})") from None
    if not isinstance(document, dict):
        raise BadDocumentError("body", document, "a JSON object")
    return document


def _show(account: Account, _: Request) -> Answer:
    return json_answer(
        200,
        {
            "name": account.name,
            "settings": {**account.settings.document},
            "calls": account.calls,
            "in_progress": account.in_progress,
            "held": account.gate.held,
            "counters": dict(account.counters),
        },
    )


def _replace(account: Account, request: Request) -> Answer:
    account.configure(**_document(request))
    return _show(account, request)


def _change(account: Account, request: Request) -> Answer:
    account.change(**_document(request))
    return _show(account, request)


def _log(account: Account, request: Request) -> Answer:
    """JSON lines, oldest first; ``?after=NUMBER`` leaves out what was read before."""
    after = request.query.get("after", "0")
    if not after.isdigit():
        raise BadDocumentError("after", after, f"the number of a log line; the log holds the last {LOG_LINES}")
    lines = [json.dumps(entry.document()) for entry in account.log() if entry.number > int(after)]
    return Answer(200, "".join(f"{line}\n" for line in lines).encode(), (("Content-Type", "application/jsonl"),))


def _clear_log(account: Account, _: Request) -> Answer:
    account.clear_log()
    return Answer(204, b"", ())


def _release(account: Account, _: Request) -> Answer:
    account.release()
    return Answer(204, b"", ())


def _people(account: Account, _: Request) -> Answer:
    """What was written: the rows by id, and how often each was created."""
    return json_answer(200, {"rows": account.people.rows(), "created": dict(account.people.created)})


def _clear_people(account: Account, _: Request) -> Answer:
    account.people.clear()
    return Answer(204, b"", ())


_ACTIONS: Final[Mapping[tuple[str, ...], Action]] = {
    ("GET",): _show,
    ("PUT",): _replace,
    ("PATCH",): _change,
    ("GET", "log"): _log,
    ("DELETE", "log"): _clear_log,
    ("POST", "release"): _release,
    ("GET", "people"): _people,
    ("DELETE", "people"): _clear_people,
}
