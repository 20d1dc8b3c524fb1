"""Servers, and what stands before them, may answer anything: too much, or what no library can read."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest

from app.addresses import AddressPolicy
from app.domain.segments import Segment
from app.errors import HaulageError, StorageError, StorageUnavailableError
from app.storage.destinations import Destination, Given, open_destination
from app.storage.destinations.stored import StoredOutput
from app.storage.objects import ObjectStore
from app.storage.strange_answers import MOST_ANSWER_BYTES
from tests.fakes.hostile_server import HostileServer, Wire

LOOPBACK = AddressPolicy.parse("http://127.0.0.0/8")
KINDS = ("s3", "gcs", "azure")
PIECE = b"x" * 1024 * 1024
UPLOAD = b"<R><UploadId>one</UploadId></R>"


def open_at(kind: str, url: str, policy: AddressPolicy = LOOPBACK) -> Destination:
    config, secrets = {
        "s3": (
            {"bucket": "bucket", "region": "eu-central-1", "access_key_id": "AKIAKEY", "endpoint_url": url},
            {"secret_access_key": "the-secret"},
        ),
        "gcs": ({"bucket": "bucket", "endpoint_url": url}, {}),
        "azure": ({"account_name": "name", "container": "box", "account_url": f"{url}/name"}, {"account_key": "a2V5"}),
    }[kind]
    return open_destination(kind, Given(config, secrets, policy))


def flood(wire: Wire) -> None:
    while wire.read_request():
        wire.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000000000000\r\n\r\n")
        wire.drip(PIECE, 0)


def bomb(wire: Wire) -> None:
    body = gzip.compress(b"\0" * (MOST_ANSWER_BYTES + 1))
    while wire.read_request():
        wire.answer(body, "Content-Encoding: gzip", status="400 Bad Request")


@pytest.mark.parametrize(
    ("kind", "play"), [*((kind, flood) for kind in KINDS), ("gcs", bomb), ("azure", bomb)]
)  # botocore does not unpack
def test_an_answer_without_an_end_is_not_held(kind: str, play: Callable[[Wire], None]) -> None:
    with HostileServer(play) as server:
        place = open_at(kind, server.url)
        with pytest.raises(StorageError, match=f"127.0.0.1 answered with more than {MOST_ANSWER_BYTES} bytes"):
            place.check()
        place.close()


def test_of_an_object_that_is_read_back_no_more_is_held_than_was_written() -> None:
    def play(wire: Wire) -> None:
        while request := wire.read_request():
            if request.startswith(b"GET"):
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
                wire.drip(PIECE, 0)
            wire.answer(UPLOAD, "ETag: x")

    with HostileServer(play) as server:
        place = open_at("s3", server.url)
        with pytest.raises(StorageError, match="gives back other bytes"):
            place.check()
        place.close()


# Nonsense -------------------------------------------------------------------------------------------------------------

NONSENSE: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "nothing": ("200 OK", b"", ()),
    "a page": ("200 OK", b"<html><body>Back soon & better", ("Content-Type: text/html",)),
    "no XML": ("206 Partial Content", b"abc", ("Content-Range: bytes banana",)),
    "another XML": ("200 OK", b"<?xml version='1.0'?><Other/>", ("Content-Type: application/xml",)),
    "a list": ("200 OK", b"[1, 2]", ("Content-Type: application/json",)),
    "an object": ("200 OK", b"{}", ("Content-Type: application/json", "ETag: x")),
    "deep JSON": ("200 OK", b"[" * 100_000, ("Content-Type: application/json",)),
    "no text": ("418 No", b"\xff\xfe{", ("Content-Type: application/json",)),
    "no date": ("200 OK", b"<R><Upload><Key>x</Key><Initiated>then</Initiated></Upload></R>", ("Last-Modified: then",)),
    "an error": ("200 OK", b"<Error><Code>SlowDown</Code></Error>", ("Content-Type: application/xml",)),
    "no gzip": ("200 OK", b"plain", ("Content-Encoding: gzip",)),
    "elsewhere": ("301 Moved", b"", ("Location: https://elsewhere.example/",)),
    "elsewhere for now": ("307 Moved", b"", ("Location: http://10.0.0.1/",)),
    "nowhere": ("302 Found", b"", ()),
}


def play_of(name: str, wire: Wire) -> None:
    status, body, headers = NONSENSE[name]
    if asked := wire.read_request():
        wire.answer(b"" if asked.startswith(b"HEAD") else body, *headers, "Connection: close", status=status)


def store_at(scheme: str, url: str) -> ObjectStore:
    place, secrets = {
        "s3": (f"?endpoint_url={url}&region=x", {"access_key_id": "AKIAKEY", "secret_access_key": "the-secret"}),
        "gs": (f"?endpoint_url={url}", {}),
        "azure": (f"?account_url={url}/name", {"account_key": "a2V5"}),
    }[scheme]
    return ObjectStore.from_url(f"{scheme}://bucket/p{place}", secrets)


def push(place: Destination, content: bytes) -> None:
    writing = place.begin("x", nonce="a" * 16, most_bytes=len(content), note=lambda _: None)
    try:
        writing.write(content)
        list(writing.finish())
        writing.publish(writing.state())
    finally:
        writing.abandon()


def compose(place: Destination, store: ObjectStore) -> None:
    size = 9 * len(PIECE)
    segment = Segment("jobs/1/x", "plain", 1, size, size, 0, (), ())
    output = StoredOutput(store, [segment, segment])
    composing = place.compose("x", nonce="a" * 16, output=output, note=lambda _: None)
    assert composing is not None
    try:
        list(composing.compose())
        composing.publish(composing.state())
    finally:
        composing.abandon()


def quiet(call: Callable[[], object]) -> HaulageError | None:
    """What the call raised, if it is one of ours; it may as well believe the answer."""
    try:
        call()
    except HaulageError as error:
        return error
    return None


@pytest.mark.parametrize("name", NONSENSE)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_place_answers_is_an_error_of_ours_at_worst(kind: str, name: str) -> None:
    with HostileServer(partial(play_of, name)) as server, closing(open_at(kind, server.url)) as place:
        notes = ["begun 1700000000"] if kind == "s3" else []
        quiet(lambda: push(place, b"small"))
        quiet(lambda: place.discard("x", nonce="a" * 16, notes=notes))
        found = quiet(place.check)
        assert found is not None
        assert "\n" not in found.message
        assert server.connection_count < 60


@pytest.mark.parametrize("name", NONSENSE)
@pytest.mark.parametrize(("kind", "scheme"), [("s3", "s3"), ("gcs", "gs")])
def test_what_a_place_answers_that_is_to_compose_is_an_error_of_ours_at_worst(
    kind: str, scheme: str, name: str
) -> None:
    with HostileServer(partial(play_of, name)) as server, closing(open_at(kind, server.url)) as place:
        assert quiet(lambda: compose(place, store_at(scheme, server.url))) is not None


@pytest.mark.parametrize("name", ["no XML", "a list", "no text", "no date", "elsewhere"])
@pytest.mark.parametrize("scheme", ["s3", "gs", "azure"])
def test_what_a_store_answers_is_an_error_of_ours_at_worst(scheme: str, name: str) -> None:
    with HostileServer(partial(play_of, name)) as server:
        store = store_at(scheme, server.url)
        for call in (
            lambda: store.put("a/b", [b"small"]),
            lambda: store.open("a/b", 1).read(),
            lambda: store.read("a/b", 1, 3),
            lambda: store.size("a/b"),
            lambda: list(store.list("a/")),
            lambda: store.unfinished("a/"),
            lambda: store.delete("a/b"),
            lambda: store.delete_prefix("a/"),
        ):
            quiet(call)
        assert quiet(store.check) is not None
        assert server.connection_count < 120


@pytest.mark.parametrize("name", [name for name in NONSENSE if name != "an object"])
@pytest.mark.parametrize("scheme", ["s3", "gs", "azure"])
def test_nonsense_is_no_stored_object(scheme: str, name: str) -> None:
    """A segment that is believed to be there is committed."""
    with HostileServer(partial(play_of, name)) as server, pytest.raises(HaulageError):
        store_at(scheme, server.url).put("a/b", [b"small"])


def test_nonsense_is_no_published_output() -> None:
    def play(wire: Wire) -> None:
        while asked := wire.read_request():
            wire.answer(b"", status="404 Not Found" if asked.startswith(b"HEAD") else "200 OK")

    nonsense = pytest.raises(StorageUnavailableError, match="makes no sense")
    with HostileServer(play) as server, closing(open_at("s3", server.url)) as place, nonsense:
        push(place, b"small")


def test_nonsense_passes() -> None:
    """A page about maintenance must not end a job for good."""
    message = r"makes no sense \(ResponseParserError\)"
    with HostileServer(partial(play_of, "no XML")) as server, pytest.raises(StorageUnavailableError, match=message):
        store_at("s3", server.url).put("a/b", [b"small"])


def test_an_address_that_leads_elsewhere_is_told() -> None:
    with HostileServer(partial(play_of, "elsewhere")) as server, closing(open_at("s3", server.url)) as place:
        with pytest.raises(StorageError, match=r"leads elsewhere \(301\).* endpoint_url is not"):
            place.check()
        assert server.connection_count < 10
