"""A client of a customer's S3: it dials checked addresses only, and knows no AWS settings of this machine."""

from __future__ import annotations

import os
import socket
from typing import Any

import botocore.session
from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES

from app.addresses import AddressPolicy
from app.storage.checked_dialling import dial
from app.storage.s3_client import S3Place, make_client
from app.storage.strange_answers import BoundedAnswers

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
"""Without a byte in or out."""
PUBLISH_TIMEOUT_S = 600
"""For the answer to CompleteMultipartUpload: some servers copy all parts before they give it."""
_PIECE_BYTES = 256 * 1024
_UNREAD = {"config_file": os.devnull, "credentials_file": os.devnull}


def make_checked_client(place: S3Place, policy: AddressPolicy, connections: int) -> Any:
    """Each call is one try. AddressRefusedError comes wrapped into botocore's HTTPClientError.

    `place` has keys and region: the operator's own credentials, profile, proxy and endpoint are not for customers.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=connections,
        proxies={},
        ignore_configured_endpoint_urls=True,
        # Not every server knows the checksums that botocore adds since 1.36; SHA-256 in the signature covers as much.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client = make_client(place, config, _session())
    client.meta.events.register("before-call.s3.CompleteMultipartUpload", _be_patient)
    manager = client._endpoint.http_session._manager  # noqa: SLF001 - botocore has no door for this
    manager.pool_classes_by_scheme = _checked_pools(policy)
    return client


def _session() -> botocore.session.Session:
    """It reads neither the environment nor ~/.aws."""
    unread = {
        name: (None, None, _UNREAD.get(name, default), convert)
        for name, (_, _, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    return botocore.session.Session(session_vars=unread)


def _be_patient(context: dict[str, Any], **_: Any) -> None:
    context["read_timeout"] = PUBLISH_TIMEOUT_S


class _InPieces:
    """Sends bodies in pieces: a socket's time limit is for all that one call hands over, and parts are large.

    Whole, a part of 8 MiB would fail on every line slower than that in half a minute, divided by the parts beside it.
    """

    def send(self, data: Any) -> None:
        if not isinstance(data, (bytes, bytearray)) or len(data) <= _PIECE_BYTES:
            super().send(data)  # type: ignore[misc] # of botocore's connection
            return
        with memoryview(data) as whole:
            for start in range(0, len(data), _PIECE_BYTES):
                super().send(whole[start : start + _PIECE_BYTES])  # type: ignore[misc]


def _checked_pools(policy: AddressPolicy) -> dict[str, type]:
    """Botocore's pools, whose connections ask `policy` about the address that they are about to dial."""

    def connect(connection: Any, scheme: str) -> socket.socket:
        return dial(policy, connection, scheme, connect_s=connection.timeout, silence_s=READ_TIMEOUT_S)

    class Plain(_InPieces, BoundedAnswers, AWSHTTPConnection):  # type: ignore[misc] # botocore has no types
        def _new_conn(self) -> socket.socket:
            return connect(self, "http")

    class Secure(_InPieces, BoundedAnswers, AWSHTTPSConnection):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return connect(self, "https")

    class PlainPool(AWSHTTPConnectionPool):  # type: ignore[misc]
        ConnectionCls = Plain

    class SecurePool(AWSHTTPSConnectionPool):  # type: ignore[misc]
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
