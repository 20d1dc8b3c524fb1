"""A client without any of our code, as a newcomer would write it, so that the vendor is judged alone."""

import http.client
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlencode, urljoin, urlsplit

import msgspec

_TIMEOUT_S = 30


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def records(self, *pointer: str) -> list[bytes]:
        """The records below a path of keys, each as the bytes it had."""
        raw = self.body
        for key in pointer:
            raw = bytes(msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[key])
        return [bytes(record) for record in msgspec.json.decode(raw, type=list[msgspec.Raw])]


class NaiveClient:
    """One keep-alive connection; raises what http.client raises."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, *, timeout_s: float = _TIMEOUT_S) -> None:
        self.base = url
        self.headers = dict(headers or {})
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> Reply:
        return self.send("GET", target, headers)

    def send(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Reply:
        self._connection.request(method, target, body, {**self.headers, **(headers or {})})
        answer = self._connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    @property
    def local_port(self) -> int:
        """The client's own port: the same for all calls of one connection."""
        port: int = self._connection.sock.getsockname()[1]
        return port

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


Walk = Callable[[NaiveClient, int, str], Iterator[list[bytes]]]


def walk(client: NaiveClient, kind: str, size: int, query: str = "") -> list[list[bytes]]:
    """All pages of a list, walked as that kind of vendor wants it, ``query`` (``&a=b``) on each first request."""
    return list(WALKS[kind](client, size, query))


def _none(client: NaiveClient, size: int, query: str) -> Iterator[list[bytes]]:
    yield client.get(f"/none/records?{query}").records()


def _numbered(path: str, first: int, pointer: tuple[str, ...]) -> Walk:
    def walk_numbered(client: NaiveClient, size: int, query: str) -> Iterator[list[bytes]]:
        page = first
        while records := client.get(f"{path}?page={page}&per_page={size}{query}").records(*pointer):
            yield records
            page += 1

    return walk_numbered


def _offset(client: NaiveClient, size: int, query: str) -> Iterator[list[bytes]]:
    offset = 0
    while records := client.get(f"/offset/records?offset={offset}&limit={size}{query}").records("records"):
        yield records
        offset += len(records)


def _keyset(client: NaiveClient, size: int, query: str) -> Iterator[list[bytes]]:
    last = 0
    while records := client.get(f"/keyset/records?after_id={last}&limit={size}{query}").records("records"):
        yield records
        last = msgspec.json.decode(records[-1])["id"]


def _cursor(client: NaiveClient, size: int, query: str) -> Iterator[list[bytes]]:
    token = ""
    while token is not None:
        reply = client.get(f"/cursor/records?limit={size}{query}" + (f"&after={quote(token)}" if token else ""))
        yield reply.records("results")
        token = reply.json.get("paging", {}).get("next", {}).get("after")


def _cursor_header(client: NaiveClient, size: int, query: str) -> Iterator[list[bytes]]:
    token: str | None = ""
    while token is not None:
        reply = client.get(f"/cursor-header/records?{urlencode({'size': size, 'cursor': token})}{query}")
        yield reply.records()
        token = reply.headers.get("x-next-cursor")


def _followed(first: str, pointer: tuple[str, ...], following: Callable[[Reply], str | None], **headers: str) -> Walk:
    def walk_followed(client: NaiveClient, size: int, query: str) -> Iterator[list[bytes]]:
        url: str | None = client.base + first.format(size=size) + query
        while url:
            reply = client.get(
                url.removeprefix(client.base), {name: value.format(size=size) for name, value in headers.items()}
            )
            yield reply.records(*pointer)
            link = following(reply)
            url = urljoin(url, link) if link else None

    return walk_followed


def next_of_link_header(reply: Reply) -> str | None:
    for link in reply.headers.get("link", "").split(","):
        target, _, relation = link.strip().partition(";")
        if relation.strip() == 'rel="next"':
            return target.strip("<>")
    return None


_PREFER = "odata.maxpagesize={size}"
WALKS: Mapping[str, Walk] = {
    "none": _none,
    "page": _numbered("/page/records", 1, ("data",)),
    "page0": _numbered("/page0/records", 0, ()),
    "offset": _offset,
    "cursor": _cursor,
    "cursor-header": _cursor_header,
    "next-url": _followed("/next-url/records?limit={size}", ("items",), lambda reply: reply.json["links"]["next"]),
    "link": _followed("/link/records?per_page={size}", (), next_of_link_header),
    "keyset": _keyset,
    "odata": _followed(
        "/odata/records?x=1", ("value",), lambda reply: reply.json.get("@odata.nextLink"), Prefer=_PREFER
    ),
    "odata2": _followed(
        "/odata2/records?x=1", ("d", "results"), lambda reply: reply.json["d"].get("__next"), Prefer=_PREFER
    ),
}
