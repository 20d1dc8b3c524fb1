"""The only place that knows the concrete parts: settings in, a wired Context out."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from app.addresses import AddressPolicy
from app.config import Settings, load_settings, require
from app.connectors.throttle import Throttle
from app.db.pool import Database
from app.enqueue import Enqueuer
from app.http_client import HttpClient
from app.secrets import Vault
from app.services.context import Context
from app.storage.objects import ObjectStore


def product_version() -> str:
    """The installed version, or `0` in a checkout that is not installed."""
    try:
        return version("haulage")
    except PackageNotFoundError:
        return "0"


def make_store(settings: Settings) -> ObjectStore:
    """The store that STORAGE_URL means. Raises ConfigError."""
    is_keyed = settings.storage_url.startswith("azure:") and settings.azure_connection_string
    options = {"connection_string": settings.azure_connection_string} if is_keyed else {}
    return ObjectStore.from_url(settings.storage_url, options)


def build_context(settings: Settings | None = None, *, pool_size: int = 4, enqueuer: Enqueuer | None = None) -> Context:
    """Wire the product. Raises ConfigError that names what is missing. Nothing is connected yet but the pool's threads.

    Call it after forking: database pools and broker connections belong to one process.
    """
    settings = settings or load_settings()
    require(settings, "database_url", "broker_url", "storage_url", "encryption_keys", "id_key")
    addresses = AddressPolicy.parse(settings.allow_networks)
    db = Database(settings.database_url, max_size=pool_size)
    db.open()
    return Context(
        settings=settings,
        db=db,
        store=make_store(settings),
        http=HttpClient(
            addresses,
            user_agent=f"haulage/{product_version()}",
            max_body_bytes=settings.page_max_bytes,
            proxy_url=settings.proxy_url,
        ),
        addresses=addresses,
        vault=Vault(settings.encryption_keys),
        enqueuer=enqueuer or Enqueuer(settings.broker_url),
        throttle=Throttle(settings.broker_url),
        now=lambda: datetime.now(UTC),
    )
