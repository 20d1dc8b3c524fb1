"""Customers name the servers that outputs are pushed to: these may answer anything, for as long as they like."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from app.addresses import AddressPolicy
from app.errors import StorageError
from app.storage.destinations import Destination, Given, open_destination
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
            wire.answer(UPLOAD)

    with HostileServer(play) as server:
        place = open_at("s3", server.url)
        with pytest.raises(StorageError, match="gives back other bytes"):
            place.check()
        place.close()
