"""A client of Google Cloud Storage whose every call ends soon, and whose retries are short."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import google.auth
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud.storage import Client
from google.cloud.storage.retry import DEFAULT_RETRY
from google.oauth2.service_account import Credentials

from app.errors import ConfigError
from app.storage.sdk_sessions import widened

TIMEOUT = (5.0, 30.0)
"""Seconds to connect, and without a byte."""

RETRY = DEFAULT_RETRY.with_delay(initial=0.1, maximum=1.0).with_timeout(2.0)
"""Google's own waits for up to two minutes, longer than a worker may."""

_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - no password
_TOKEN_S = 10.0


@dataclass(frozen=True)
class GcsPlace:
    """Where a store lies. Without a service account Google's library looks for credentials in its usual places."""

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    kms_key_name: str | None = None
    service_account: str | None = field(default=None, repr=False)
    """The JSON text of a service account's key."""


def make_client(place: GcsPlace) -> Client:
    """Raises ConfigError for a service account that makes no sense, DefaultCredentialsError where there are none."""
    credentials = _credentials(place)
    # The library's own session waits for a token for as long as it takes.
    session = AuthorizedSession(  # type: ignore[no-untyped-call] # Google's library has few types
        credentials, max_refresh_attempts=1, refresh_timeout=_TOKEN_S
    )
    endpoint = {"api_endpoint": place.endpoint_url.rstrip("/")} if place.endpoint_url else None
    client = Client(project=None, credentials=credentials, _http=widened(session), client_options=endpoint)
    # For traces that nobody makes here, it would ask after the bucket in threads of its own.
    client._bucket_metadata_cache = None  # noqa: SLF001
    return client


def _credentials(place: GcsPlace) -> Any:
    if (place.endpoint_url or "").startswith("http://"):
        # A token must not travel readable; stand-ins want none.
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    if place.service_account is None:
        found, _ = google.auth.default(scopes=_SCOPES)
        return found
    try:
        told = json.loads(place.service_account)
        # Whoever gives the account must not choose where we go with it.
        account = {**told, "token_uri": _TOKEN_URI}
        return Credentials.from_service_account_info(account, scopes=_SCOPES)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        raise ConfigError("service_account is not accepted: the JSON text of a service account's key is.") from error
