"""What a service is given: the concrete parts, wired once in app.bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from app.addresses import AddressPolicy
from app.config import Settings
from app.connectors.throttle import Throttle
from app.db.pool import Database
from app.enqueue import Enqueuer
from app.http_client import HttpClient
from app.secrets import Vault
from app.storage.objects import ObjectStore


@dataclass(frozen=True)
class Context:
    """One a process. Tests build it with other parts."""

    settings: Settings
    db: Database
    store: ObjectStore
    http: HttpClient
    addresses: AddressPolicy
    vault: Vault
    enqueuer: Enqueuer
    throttle: Throttle
    now: Callable[[], datetime]


@dataclass(frozen=True)
class Caller:
    """Who asks. `instance_id` is set where the Authorization header carried an Element token."""

    organisation_id: int
    user_id: int | None
    instance_id: int | None = None
