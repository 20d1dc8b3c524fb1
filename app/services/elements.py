"""Connectors of a tenant and of the catalogue; SAP calls them elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.connectors.model import Connector
from app.connectors.spec import digest, load_connector
from app.db import connectors
from app.db.connectors import StoredConnector
from app.db.pool import Connection
from app.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from app.services.context import Caller, Context


@dataclass(frozen=True)
class ElementPage:
    """Elements by id. `next_after` is the id of the last one where there are more, else None."""

    elements: list[StoredConnector]
    next_after: int | None


_KEPT = 256
_checked_before: dict[tuple[int, str], Connector] = {}


def connector_of(revision_id: int, digest: str, document: Mapping[str, Any]) -> Connector:
    """A stored document as a usable connector. Checking one takes milliseconds, and revisions never change: it is done
    once a process.
    """
    found = _checked_before.get((revision_id, digest))
    if found is None:
        if len(_checked_before) >= _KEPT:
            _checked_before.clear()
        found = _checked_before[revision_id, digest] = load_connector(document)
    return found


def pinned_connector(conn: Connection, revision_id: int, digest: str) -> Connector:
    """The connector of a revision; its document is read where this process has not used it. Raises NotFoundError."""
    found = _checked_before.get((revision_id, digest))
    if found is None:
        revision = connectors.get_revision(conn, revision_id)
        found = connector_of(revision.id, revision.digest, revision.document)
    return found


def create_element(ctx: Context, caller: Caller, document: Mapping[str, Any]) -> StoredConnector:
    """Store a connector for this tenant alone.

    Raises InvalidInputError that lists every problem, AddressRefusedError, and ConflictError if the tenant or the
    catalogue has the key: then one name would mean two things. Where the catalogue gets a key later that a tenant has
    already, the tenant's own one wins for the tenant.
    """
    from app.connectors.registry import catalogue  # with YAML: not for workers

    connector = _checked(ctx, document)
    if connector.key in catalogue():
        raise ConflictError(f"key {connector.key!r} is taken by the catalogue; choose another one.")
    with ctx.db.transaction() as conn:
        connector_id = connectors.insert(
            conn,
            caller.organisation_id,
            connector.key,
            dict(document),
            digest(document),
            id_key=ctx.settings.id_key,
        )
        return connectors.get(conn, caller.organisation_id, str(connector_id))


def get_element(ctx: Context, caller: Caller, key_or_id: str) -> StoredConnector:
    """A connector of the tenant or the catalogue. Raises NotFoundError."""
    with ctx.db.connection() as conn:
        return connectors.get(conn, caller.organisation_id, key_or_id)


def list_elements(ctx: Context, caller: Caller, *, after: int, page_size: int) -> ElementPage:
    """What this tenant may use, by id."""
    with ctx.db.connection() as conn:
        found = connectors.find_page(conn, caller.organisation_id, after, page_size + 1)
    more = len(found) > page_size
    return ElementPage(found[:page_size], found[page_size - 1].id if more else None)


def replace_element(ctx: Context, caller: Caller, key_or_id: str, document: Mapping[str, Any]) -> StoredConnector:
    """Make the document the newest revision; jobs under way keep theirs. The same document again changes nothing.

    Raises InvalidInputError, AddressRefusedError, NotFoundError, ForbiddenError for one of the catalogue.
    """
    connector = _checked(ctx, document)
    with ctx.db.transaction() as conn:
        stored = _own(conn, caller, key_or_id)
        if connector.key != stored.key:
            raise InvalidInputError(
                f"key {connector.key!r} is not accepted: the element's is {stored.key!r}.", field="/key"
            )
        if digest(document) != stored.digest:
            connectors.add_revision(conn, stored.id, dict(document), digest(document))
        return connectors.get_private(conn, caller.organisation_id, str(stored.id))


def delete_element(ctx: Context, caller: Caller, key_or_id: str) -> None:
    """Raises NotFoundError, ForbiddenError for one of the catalogue, ConflictError while instances use it."""
    with ctx.db.transaction() as conn:
        connectors.delete(conn, _own(conn, caller, key_or_id).id)


def sync_catalogue(ctx: Context) -> list[str]:
    """Store the connectors that come with this release; a changed one becomes a new revision. Returns the keys touched.

    A connector that a release no longer brings stays: instances may use it.
    """
    from app.connectors.registry import catalogue

    touched = []
    with ctx.db.transaction() as conn:
        stored = {each.key: each for each in connectors.find_catalogue(conn)}
        for key, document in catalogue().items():
            if key not in stored:
                connectors.insert(conn, None, key, document, digest(document), id_key=ctx.settings.id_key)
            elif stored[key].digest != digest(document):
                connectors.add_revision(conn, stored[key].id, document, digest(document))
            else:
                continue
            touched.append(key)
    return touched


def _checked(ctx: Context, document: Mapping[str, Any]) -> Connector:
    connector = load_connector(document)
    if connector.destination:
        raise InvalidInputError(
            "destination is not accepted: places that outputs are pushed to come with the product; accepted: base_url, "
            "auth and objects.",
            field="/destination",
        )
    if not connector.base_url.placeholders:
        ctx.addresses.check_url(connector.base_url.render({}))
    return connector


def _own(conn: Connection, caller: Caller, key_or_id: str) -> StoredConnector:
    try:
        return connectors.get_private(conn, caller.organisation_id, key_or_id, lock=True)
    except NotFoundError:
        connectors.get(conn, caller.organisation_id, key_or_id)
    raise ForbiddenError(f"Element {key_or_id} belongs to the catalogue and cannot be changed.")
