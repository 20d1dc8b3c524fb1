"""One vendor call: from a cursor to a page and the next cursor, or to a verdict. Never retries, never waits."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from app.connectors import auth
from app.connectors.ahead import Place, can_guess, guesses, is_guess_sure, place_of
from app.connectors.classify import NO_CONTENT, Verdict, classify_fault, classify_response, classify_transport
from app.connectors.faults import PageFault
from app.connectors.links import origin_of
from app.connectors.model import (
    Action,
    Connector,
    ErrorClass,
    ListSpec,
    ObjectSpec,
    PageKind,
    Params,
    Resume,
)
from app.connectors.objects import find_object, planned_page_size
from app.connectors.pages import EMPTY_PAGE, Page, page_reader
from app.connectors.paginators import (
    Cursor,
    Next,
    PageRequest,
    PageView,
    count_of,
    first_request,
    next_cursor,
    shrink,
    wanted_size,
)
from app.connectors.pointers import split_pointer
from app.connectors.redaction import Redactor
from app.connectors.spec import render_base_url
from app.connectors.tombstones import is_deleted
from app.domain.selection import Record
from app.errors import ConfigError
from app.http_client import Beat, Request, Response, TransportError

_PAST_END = frozenset({400, 404, 410, 416, 422})
_percent_encoded = partial(quote, safe="")
_NO_QUERY: Mapping[str, str] = {}
_PLAIN_IN_QUERY = re.compile(r"[A-Za-z0-9_.\-~$:,@/]*")


class GotPage(msgspec.Struct, frozen=True):
    """A page that may be delivered. `total`: as the vendor states it, evidence only. `body_bytes`: inflated.

    `came_packed`: the vendor had compressed it.
    """

    page: Page
    next: Next
    total: int | None
    status: int
    body_bytes: int
    date_header: str | None
    elapsed_s: float = 0.0
    came_packed: bool = False


@dataclass(frozen=True)
class Failed:
    """No page. `detail`: at most 200 characters of what the vendor said, without secrets."""

    verdict: Verdict
    status: int | None
    detail: str


FetchResult = GotPage | Failed


class Pending(Protocol):
    """What is needed of app.http_client.Sent."""

    def result(self, beat: Beat | None = None) -> Response:
        """Read the whole answer. Raises ConfigError, TransportError, Interrupted."""

    @property
    def is_sent(self) -> bool:
        """It, or a part of it, may have left."""

    def abandon(self) -> None:
        """Break it off."""


class Sender(Protocol):
    """What is needed of app.http_client.HttpClient."""

    def start(self, request: Request) -> Pending:
        """Send once; what fails is raised by the result."""


class VendorClient:
    """Reads one object of one instance. Cheap to make; holds the credentials, so it is never logged."""

    def __init__(
        self,
        connector: Connector,
        object_name: str,
        config: Mapping[str, str],
        secrets: Mapping[str, str],
        http: Sender,
        *,
        spec: ObjectSpec | None = None,
    ) -> None:
        """Raises InvalidInputError for an unknown object, SettingsInvalidError for a base URL that is none.

        `spec`: what to read, where it is not the object's own list.
        """
        self._connector = connector
        self._object = spec or find_object(connector, object_name)
        self._config, self._secrets, self._http = config, secrets, http
        self._values: dict[str, Mapping[str, str]] = {"config": config, "secret": secrets, "": {"object": object_name}}
        self._base_url = render_base_url(connector, config)
        self._origins = (origin_of(self._base_url), *connector.origins)
        self._reader = page_reader(self._object.list)
        self._redactor = Redactor(connector, config, secrets)
        declared = self._object.list
        # Where the vendor names the next page, equal pages are only wrong if ids say that they are the same records.
        self._is_compared = self._object.id is not None or declared.page.kind in {PageKind.PAGE, PageKind.OFFSET}
        self._secret_params = auth.secret_params(connector.auth)
        own = self._rendered(connector.headers) | self._rendered(declared.headers)
        self._headers = {"Accept": "application/json"} | own
        self._aim(self._values)

    def _aim(self, values: dict[str, Mapping[str, str]]) -> None:
        self._values = values
        declared = self._object.list
        self._params = self._rendered(self._connector.params) | self._rendered(declared.params)
        self._usual_query: tuple[Mapping[str, str] | None, dict[str, str]] = (None, {})
        self._list_url = self._base_url + declared.path.render(self._values, encode=_percent_encoded)

    def of(self, key: str) -> VendorClient:
        """The same for one record (`{id}`) or for the list below one (`{parent.id}`), by its key."""
        _ = self._usual_headers  # so that they are made once
        aimed = copy(self)
        VendorClient._aim(aimed, self._values | {"": {**self._values[""], "id": key}, "parent": {"id": key}})
        return aimed

    def __repr__(self) -> str:
        return f"VendorClient({self._connector.key}, {self._object.name})"

    @property
    def resume(self) -> Resume:
        """What going on at a stored cursor promises."""
        return self._object.list.page.resume

    @property
    def token_ttl_s(self) -> float | None:
        """How long a stored cursor is good, where the connector says so."""
        return self._object.list.page.token_ttl_s

    @property
    def listed(self) -> ListSpec:
        """How the object is declared to be read."""
        return self._object.list

    @property
    def id_pointer(self) -> str | None:
        """JSON Pointer to what identifies a record, where the connector says so."""
        return self._object.id

    @property
    def is_dropped(self) -> Callable[[Record], bool] | None:
        """Says of a record that the connector leaves it out since it is deleted; None where it leaves out none."""
        spec = self._object.list.deleted
        return partial(is_deleted, spec) if spec is not None and spec.do == "drop" else None

    @property
    def lookback_s(self) -> float:
        """How much later than its date says a record may come into the list."""
        return self._object.list.lookback_s

    def page_size(self, requested: int | None) -> int:
        """The page size to ask for: `requested` or the declared one, never above the declared maximum."""
        return planned_page_size(self._object, requested)

    def start(self, cursor: Any, size: int, query: Mapping[str, str] | None = None) -> Call:
        """Begin exactly one vendor call for the page at `cursor` (None: the first); its answer is on the way then.

        `query`: extra query parameters, which win over the connector's.
        """
        try:
            request = self._request(first_request(self._object.list.page, cursor, size), query or _NO_QUERY)
            return Call(self, self._http.start(self._signed(request)), request.url, cursor, size)
        except ConfigError as error:
            return Call(self, Failed(Verdict(Action.FAIL, ErrorClass.CONFIG, str(error)), None, ""), "", cursor, size)

    def field_params(self, names: Collection[str]) -> dict[str, str]:
        """The query parameter that asks the vendor for these fields (dotted names) and those that we read ourselves.

        Empty where the connector does not say how, or where all fields are wanted. The vendor may well send more.
        """
        spec = self._object.list.select
        if spec is None or not names:
            return {}
        listed = self._object.list
        read = (self._object.id, listed.page.field, listed.deleted and listed.deleted.at)
        own = [split_pointer(each) for each in read if each]
        wanted = [*names, *(".".join(path) for path in own)]
        if spec.nested == "top":
            wanted = [name.partition(".")[0] for name in wanted]
        return {spec.param: spec.separator.join(dict.fromkeys(wanted))}

    def place(self, cursor: Any, size: int) -> Place:
        """What tells the call for the page at `cursor` from others under way."""
        return place_of(self._object.list.page, cursor, size)

    def guesses(self, cursor: Any, size: int) -> Iterator[dict[str, Any]]:
        """Cursors of the pages behind the one at `cursor`, good for `start` alone; see `app.connectors.ahead`."""
        return guesses(self._object.list.page, cursor, size)

    @property
    def can_guess(self) -> bool:
        """Whether `guesses` may ever give any."""
        return can_guess(self._object.list.page)

    @property
    def is_guess_sure(self) -> bool:
        """Whether the connector says enough for every guess to be a page that will be wanted."""
        return is_guess_sure(self._object.list.page)

    def fetch(
        self, cursor: Any, size: int, query: Mapping[str, str] | None = None, beat: Beat | None = None
    ) -> FetchResult:
        """One vendor call from its beginning to its end; see `start` and `Call.result`."""
        return self.start(cursor, size, query).result(beat)

    def shrink(self, cursor: Any, size: int, verdict: Verdict) -> tuple[Cursor, int] | None:
        """The same position with smaller pages, after `verdict` asked for that; None: do `verdict.otherwise`."""
        floor = max(1, wanted_size(cursor, size) // verdict.floor_fraction) if verdict.floor_fraction else 1
        return shrink(self._object.list.page, cursor, size, floor=floor)

    def _request(self, asked: PageRequest, query: Mapping[str, str]) -> Request:
        if asked.url is not None:
            self._check_origin(asked.url)
            url = asked.url
        else:
            own = {name: _pair(name, value) for name, value in asked.params}
            encoded = "&".join(((self._usual_pairs(query) | own) if asked.repeat_params else own).values())
            url = f"{self._list_url}?{encoded}" if encoded else self._list_url
        headers = self._with_auth(self._headers | dict(asked.headers)) if asked.headers else self._usual_headers
        return Request("GET", url, headers, None, self._object.list.read_timeout_s)

    def _usual_pairs(self, query: Mapping[str, str]) -> dict[str, str]:
        """Name -> `name=value` of what every page is asked with, encoded once for all pages of a leg."""
        if query is not self._usual_query[0]:
            params = self._params | dict(query)
            self._usual_query = query, {name: _pair(name, value) for name, value in params.items()}
        return self._usual_query[1]

    def _signed(self, request: Request) -> Request:
        """With the credentials that travel in no header."""
        if self._auth_header is None:
            return auth.apply(self._connector.auth, self._secrets, self._config, request)
        return request

    def _with_auth(self, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        return tuple(headers.items()) if self._auth_header is None else (*headers.items(), self._auth_header)

    @cached_property
    def _usual_headers(self) -> tuple[tuple[str, str], ...]:
        return self._with_auth(self._headers)

    @cached_property
    def _auth_header(self) -> tuple[str, str] | None:
        return auth.header(self._connector.auth, self._secrets, self._config)

    def _check_origin(self, url: str) -> None:
        """A stored link was checked when it was found; connector or instance may have been edited since."""
        if origin_of(url) not in self._origins:
            raise ConfigError(f"The stored next link points to {origin_of(url)}, which is not this instance's now.")

    def _rendered(self, params: Params) -> dict[str, str]:
        """Values with placeholders filled; one whose optional settings are all missing is left out."""
        return {name: template.render(self._values) for name, template in params if template.has_values(self._values)}

    def read(self, pending: Pending, url: str, cursor: Any, size: int, beat: Beat | None) -> FetchResult:
        """The page that comes for `cursor`, or why there is none. `url`: without credentials. Raises Interrupted."""
        try:
            response = pending.result(beat)
        except ConfigError as error:
            return Failed(Verdict(Action.FAIL, ErrorClass.CONFIG, str(error)), None, "")
        except TransportError as error:
            return Failed(classify_transport(self._connector, error), None, self._redactor.cut(str(error)))
        verdict = classify_response(self._connector, response.status, response.headers, response.body)
        try:
            return self._judged(verdict, response, url, cursor, size)
        except PageFault as fault:
            return Failed(self._without_secrets(classify_fault(fault)), response.status, "")

    def _judged(self, verdict: Verdict, response: Response, url: str, cursor: Any, size: int) -> FetchResult:
        if verdict.action is Action.OK and response.status != NO_CONTENT:
            return self._got(self._reader.read(response.body, self._redactor.hidden), response, url, cursor, size)
        is_past_end = verdict.action is Action.FAIL and self._is_past_end(response.status, cursor)
        if verdict.action in {Action.EMPTY, Action.STOP} or is_past_end:
            return self._got(EMPTY_PAGE, response, url, cursor, size, is_end=verdict.action is not Action.EMPTY)
        return Failed(verdict, response.status, self._redactor.excerpt(response.body))

    def _got(
        self, page: Page, response: Response, url: str, cursor: Any, size: int, *, is_end: bool = False
    ) -> GotPage:
        view = self._view(page, response, url)
        following = next_cursor(self._object.list.page, cursor, size, view)
        if is_end:
            following = Next(None, is_exhausted=True)
        return GotPage(
            page=EMPTY_PAGE if following.is_discarded else page,
            next=following,
            total=count_of(view.values.get("total"), "total"),
            status=response.status,
            body_bytes=len(response.body),
            date_header=response.headers.get("Date"),
            elapsed_s=response.elapsed_s,
            came_packed=0 < response.wire_bytes < len(response.body),
        )

    def _view(self, page: Page, response: Response, url: str) -> PageView:
        spec = self._object.list
        values = dict(page.values)
        if spec.total_header:
            values["total"] = response.headers.get(spec.total_header)
        return PageView(
            record_count=page.count,
            fingerprint=page.fingerprint(self._object.id) if self._is_compared else "",
            values=values,
            headers=response.headers,
            url=url,
            origins=self._origins,
            last_key=page.last_key(spec.page.field) if spec.page.field is not None else None,
            secret_params=self._secret_params,
        )

    def _is_past_end(self, status: int, cursor: Any) -> bool:
        """Some vendors answer a page past the end with an error; declared, it is the end, and never the first page."""
        is_behind_records = bool(cursor) and cursor.get("seen", 0) > 0
        return self._object.list.page.past_end == "error" and is_behind_records and status in _PAST_END

    def _without_secrets(self, verdict: Verdict) -> Verdict:
        """A fault's message may quote the beginning of an answer that echoes what was sent."""
        return replace(verdict, message=self._redactor.hidden(verdict.message))


class Call:
    """One vendor call that is under way, or that could not even be begun."""

    def __init__(self, client: VendorClient, sent: Pending | Failed, url: str, cursor: Any, size: int) -> None:
        self._client = client
        self._sent = sent
        self._url = url
        self._cursor = cursor
        self._size = size

    def result(self, beat: Beat | None = None, *, cursor: Any = None) -> FetchResult:
        """The page, or why there is none. Raises Interrupted when `beat` says stop.

        `cursor`: the one that led here, where the call was begun by a guess.
        """
        if isinstance(self._sent, Failed):
            return self._sent
        return self._client.read(self._sent, self._url, cursor or self._cursor, self._size, beat)

    def abandon(self) -> bool:
        """Break it off. Returns whether the vendor may have counted it."""
        if isinstance(self._sent, Failed):
            return False
        is_sent = self._sent.is_sent
        self._sent.abandon()
        return is_sent


def _pair(name: str, value: str) -> str:
    return f"{_known_name(name)}={in_query(value)}"


def in_query(text: str) -> str:
    """Name or value of a query parameter, encoded where it has to be."""
    return text if _PLAIN_IN_QUERY.fullmatch(text) else quote(text, safe="$:,@/")


_known_name = lru_cache(maxsize=512)(in_query)
"""Names come from connectors, so there are few."""
