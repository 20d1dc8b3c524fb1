"""The vendor itself: a request becomes an answer of its account's data."""

import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

from app.sandbox import auth
from app.sandbox.accounts import Account, Accounts, Admission, LogEntry
from app.sandbox.children import CHILDREN, child_answer, child_of
from app.sandbox.dates import in_range
from app.sandbox.kinds import KINDS, Question, QuestionError
from app.sandbox.limits import wait_header
from app.sandbox.odata_filter import BadFilterError
from app.sandbox.pages import dressed, error_answer, html_answer, page_answer
from app.sandbox.records import FILTERABLE
from app.sandbox.selection import EMPTY, PageCache, Selection, select
from app.sandbox.settings import Settings
from app.sandbox.troubles import Trouble
from app.sandbox.wire import Answer, Peer, Request
from app.sandbox.writes import PREFIX, is_write_path, write_answer

_PLAIN: Final = Trouble()
_NEVER_SENT: Final = Answer(200, b"")
_FILTERED_KINDS: Final = frozenset({"odata", "odata2"})  # these take $filter
_PUBLIC_GROUP: Final = "a"  # what "200_public" still shows


@dataclass
class _Call:
    """One call while it is answered."""

    request: Request
    account: Account
    entry: LogEntry
    origin: str
    kind: str
    settings: Settings
    peer: Peer
    trouble: Trouble = _PLAIN


class Vendor:
    """Answers everything below the list paths and /people. Safe for threads."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts, self._cache = accounts, PageCache()

    def serve(self, request: Request, peer: Peer) -> bool:
        """Answer one request; False when the connection must close behind it. Raises ClientGoneError."""
        kind, required, problem = _route(request)
        credential = auth.read_credential(request, required)
        account = self._accounts.named(credential.account)
        entry = account.arrive(request, credential.kind, _logged_query(request))
        call = _Call(request, account, entry, _origin(request, peer), kind, account.settings, peer)
        complete = False
        try:
            answer = dressed(problem or self._answer(call, credential), call.settings.habits)
            if request.method == "HEAD":
                answer = answer.to_head_request()
            account.decide(
                entry,
                status=answer.status,
                size_bytes=len(answer.body),
                records=answer.record_count,
                ids=answer.record_ids,
            )
            if latency_s := call.settings.plain.latency_ms / 1000:
                peer.pause(latency_s)
            peer.gate = account.gate
            call.trouble.send(peer, answer)
            complete = True
        finally:
            account.leave(entry, complete=complete)
        return request.keeps_alive and not answer.close

    def _answer(self, call: _Call, credential: auth.Credential) -> Answer:
        habits = call.settings.habits
        if credential.refusal:
            return self._refused(call, habits.wrong_auth, credential.refusal)
        if call.account.expired(credential.secret):
            return self._refused(call, habits.token_expired, "the token has expired")
        admission = call.account.admit(call.entry)
        return (_turned_away(admission) or self._struck(call, admission)).plus(*admission.headers)

    def _struck(self, call: _Call, admission: Admission) -> Answer:
        """The page, or what the scripted fault makes of it."""
        if admission.rule:
            call.entry.fault, call.trouble = admission.rule.name, admission.rule.trouble
            call.trouble.before(call.peer)
            instead = call.trouble.instead(call.request, admission.settings.habits.clock_skew_s)
            if instead and call.trouble.is_carried_out:
                self._page(call, admission.records)
            if instead or not call.trouble.is_carried_out:
                return instead or _NEVER_SENT
        return self._page(call, None if call.trouble.twist == "empty_ok" else admission.records)

    def _page(self, call: _Call, records: int | None, group: str | None = None) -> Answer:
        """The page of so many records; None: of a list that is empty whatever is asked."""
        settings, request = call.settings, call.request
        if call.kind == PREFIX:
            return write_answer(request, call.account.people, call.account.csrf_tokens, settings.habits)
        if call.kind in CHILDREN:
            return child_answer(call.kind, request.path, request.query, settings.plain.records)
        try:
            question = Question(
                query=request.query,
                headers=request.headers,
                origin=call.origin,
                path=request.path,
                selection=EMPTY if records is None else _selection(call, records, group),
                page_max=settings.plain.page_max,
                habits=settings.habits,
                twist=call.trouble.twist,
            )
            page = KINDS[call.kind].answer(question)
        except QuestionError as problem:
            return error_answer(problem.status, problem.code, problem.message)
        return page_answer(page, question, settings.habits.shape(settings.plain.seed), self._cache)

    def _refused(self, call: _Call, form: str, reason: str) -> Answer:
        """What a wrong or expired credential gets: six ways, as real vendors have them."""
        if form == "200_empty":
            return self._page(call, None)
        if form == "200_public":
            return self._page(call, call.settings.plain.records, _PUBLIC_GROUP).plus(("X-User", "anonymous"))
        challenge = ("WWW-Authenticate", 'Bearer realm="sandbox"')
        if form == "401_html":
            return html_answer(401, "Sign in").plus(challenge)
        if form == "401_empty":
            return Answer(401, b"", (challenge,))
        if form == "403":
            return error_answer(403, "forbidden", reason)
        return error_answer(401, "unauthorized", reason).plus(challenge)


def _route(request: Request) -> tuple[str, str | None, Answer | None]:
    """Page kind, required kind of credential, and the answer when the path is none of ours."""
    parts = request.path.strip("/").split("/")
    required = None
    if request.method == "GET" and (child := child_of(request.path)) is not None:
        return child, None, None
    if is_write_path(request.path):
        return PREFIX, None, None
    if parts[0] == "auth" and len(parts) == 4 and parts[1] in auth.KINDS:  # noqa: PLR2004 - /auth/KIND/PAGE/records
        required, parts = parts[1], parts[2:]
    if len(parts) != 2 or parts[1] != "records" or parts[0] not in KINDS:  # noqa: PLR2004 - /PAGE/records
        paths = ", ".join(f"/{kind}/records" for kind in KINDS)
        below = "|".join(auth.KINDS)
        message = f"{request.path[:200]!r} is not a path here; accepted: {paths}, each also below /auth/{below}"
        return "none", required, error_answer(404, "not_found", message)
    if request.method != "GET":
        message = f"{request.method[:20]!r} is not accepted; accepted: GET"
        return "none", required, error_answer(405, "method_not_allowed", message).plus(("Allow", "GET"))
    return parts[0], required, None


def _turned_away(admission: Admission) -> Answer | None:
    """429, or whatever status the limit has."""
    if admission.too_parallel:
        return error_answer(429, "too_many_parallel_calls", "too many calls at the same time")
    if admission.refused_by is None:
        return None
    limit, wait_s = admission.refused_by
    message = f"{limit.calls} calls in {limit.per_s:g} s are used up"
    now_s = time.time() + admission.settings.habits.clock_skew_s
    return error_answer(limit.status, "rate_limited", message).plus(*wait_header(limit.tell, wait_s, now_s))


def _selection(call: _Call, records: int, group: str | None) -> Selection:
    settings, query = call.settings, call.request.query
    wanted = {name: query[name] for name in FILTERABLE if name in query}
    if wanted.get("archived") == "all":
        del wanted["archived"]
    elif settings.habits.hide_archived:
        wanted.setdefault("archived", "false")
    if group:
        wanted["group"] = group
    is_sorted = call.kind == "keyset" or query.get("sort") == "id"
    newest_first = settings.habits.order == "newest_first" and not is_sorted
    where = query.get("$filter", "") if call.kind in _FILTERED_KINDS else ""
    try:
        found = select(records, settings.plain.seed, tuple(sorted(wanted.items())), where, newest_first=newest_first)
    except BadFilterError as problem:
        raise QuestionError(400, "bad_filter", str(problem)) from None
    return in_range(found, query, records, settings.habits.dates)


def _origin(request: Request, peer: Peer) -> str:
    host = request.headers.get("host", "")
    return f"http://{host}" if host else peer.origin


def _logged_query(request: Request) -> str:
    """The query as it came, without the credential."""
    if "api_key" not in request.query:
        return request.raw_query
    pairs = parse_qsl(request.raw_query, keep_blank_values=True)
    return urlencode([(name, "***" if name == "api_key" else value) for name, value in pairs], safe="*$")
