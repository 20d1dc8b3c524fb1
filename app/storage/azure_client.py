"""A client of Azure Blob Storage whose every call ends soon, and whose retries are short."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import ContainerClient, LinearRetry

from app.errors import ConfigError
from app.storage.sdk_sessions import wide_session

_CONNECT_S = 5
_READ_S = 30
_TRIES_AFTER_THE_FIRST = 2
_BACKOFF_S = 0.3


@dataclass(frozen=True)
class AzurePlace:
    """Where a store lies. Without any of the three secrets Azure's library looks for an identity of the machine's."""

    container: str
    prefix: str = ""
    account_url: str | None = None
    encryption_scope: str | None = None
    connection_string: str | None = field(default=None, repr=False)
    account_key: str | None = field(default=None, repr=False)
    sas_token: str | None = field(default=None, repr=False)


def make_client(place: AzurePlace) -> ContainerClient:
    """Raises ConfigError for a secret that makes no sense. Nothing is called yet."""
    logging.getLogger("azure").setLevel(logging.WARNING)  # it would tell every call
    bounds: dict[str, Any] = {
        "transport": RequestsTransport(session=wide_session(), connection_timeout=_CONNECT_S, read_timeout=_READ_S),
        # The library's own waits for 15 s and more, longer than a worker may.
        "retry_policy": LinearRetry(
            _BACKOFF_S,  # type: ignore[arg-type] # a fraction is as good
            _TRIES_AFTER_THE_FIRST,
            random_jitter_range=_BACKOFF_S,  # type: ignore[arg-type]
        ),
    }
    try:
        if place.connection_string is not None:
            return ContainerClient.from_connection_string(place.connection_string, place.container, **bounds)
        assert place.account_url is not None
        return ContainerClient(place.account_url, place.container, credential=_credential(place), **bounds)
    except (ValueError, TypeError, AzureError) as error:
        # What the library says of them may hold them.
        raise ConfigError("The connection string, key or SAS token of the Azure account is not accepted.") from error


def _credential(place: AzurePlace) -> Any:
    if place.account_key is not None or place.sas_token is not None:
        return place.account_key or place.sas_token
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(exclude_interactive_browser_credential=True, process_timeout=_CONNECT_S)
