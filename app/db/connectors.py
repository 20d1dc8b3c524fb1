"""Statements on tables connectors and connector_revisions.

A connector without an organisation belongs to the catalogue and is everybody's; the others are private to their tenant.
Revisions are never changed: a job pins the one that it began with.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from app.db.pool import Connection, as_json
from app.domain.ids import scatter
from app.errors import ConflictError, NotFoundError
from app.secrets import CALLBACK_URL

_SELECT = """
select connectors.id, connectors.organisation_id, connectors.key, connectors.created_at,
       newest.id as revision_id, newest.revision, newest.document, newest.digest, newest.created_at as updated_at
from connectors
join lateral (select * from connector_revisions where connector_id = connectors.id order by revision desc limit 1)
  as newest on true
where connectors.deleted_at is null
"""
_VISIBLE = " and (connectors.organisation_id is null or connectors.organisation_id = %(organisation)s)"
_NAMED = " and (connectors.id = %(id)s or connectors.key = %(key)s)"


@dataclass(frozen=True)
class StoredConnector:
    """A connector with its newest revision. `organisation_id` None: of the catalogue."""

    id: int
    organisation_id: int | None
    key: str
    created_at: datetime
    revision_id: int
    revision: int
    document: dict[str, Any]
    digest: str
    updated_at: datetime


@dataclass(frozen=True)
class Revision:
    """One revision of a connector's document."""

    id: int
    connector_id: int
    revision: int
    document: dict[str, Any]
    digest: str


def insert(
    conn: Connection, organisation_id: int | None, key: str, document: dict[str, Any], digest: str, *, id_key: str
) -> int:
    """Store a connector with its first revision, inside the caller's transaction. Returns its id.

    Raises ConflictError if the tenant (or the catalogue) has a connector with that key.
    """
    number = conn.execute("select nextval('connector_numbers')::int as number").fetchone()
    assert number is not None
    connector_id = scatter(id_key, "connector", number["number"])
    try:
        conn.execute(
            "insert into connectors (id, organisation_id, key) values (%s, %s, %s)",
            (connector_id, organisation_id, key),
        )
    except psycopg.errors.UniqueViolation as error:
        raise ConflictError(f"There is a connector with key {key!r} already; change it with PUT.") from error
    add_revision(conn, connector_id, document, digest)
    return connector_id


def add_revision(conn: Connection, connector_id: int, document: dict[str, Any], digest: str) -> None:
    """Make `document` the newest revision, inside the caller's transaction."""
    conn.execute("select 1 from connectors where id = %s for update", (connector_id,))
    conn.execute(
        "insert into connector_revisions (connector_id, revision, document, digest)"
        " select %(id)s, coalesce(max(revision), 0) + 1, %(document)s, %(digest)s"
        " from connector_revisions where connector_id = %(id)s",
        {"id": connector_id, "document": as_json(document), "digest": digest},
    )


def get(conn: Connection, organisation_id: int, key_or_id: str) -> StoredConnector:
    """A connector that this tenant may use, by key or id; its own go before those of the catalogue.

    Raises NotFoundError, for connectors of other tenants as well.
    """
    row = conn.execute(
        _SELECT + _VISIBLE + _NAMED + " order by connectors.organisation_id nulls last limit 1",
        {"organisation": organisation_id, "id": _as_id(key_or_id), "key": key_or_id},
    ).fetchone()
    if row is None:
        raise NotFoundError(f"There is no element {key_or_id}; GET /elements lists all.")
    return StoredConnector(**row)


def get_private(conn: Connection, organisation_id: int, key_or_id: str, *, lock: bool = False) -> StoredConnector:
    """A connector of this tenant alone, which it may change. Raises NotFoundError."""
    row = conn.execute(
        _SELECT
        + " and connectors.organisation_id = %(organisation)s"
        + _NAMED
        + (" for update of connectors" if lock else ""),
        {"organisation": organisation_id, "id": _as_id(key_or_id), "key": key_or_id},
    ).fetchone()
    if row is None:
        raise NotFoundError(f"There is no element {key_or_id}; GET /elements lists all.")
    return StoredConnector(**row)


def find_page(conn: Connection, organisation_id: int, after_id: int, page_size: int) -> list[StoredConnector]:
    """Connectors that this tenant may use, by id."""
    rows = conn.execute(
        _SELECT + _VISIBLE + " and connectors.id > %(after)s order by connectors.id limit %(size)s",
        {"organisation": organisation_id, "after": after_id, "size": page_size},
    ).fetchall()
    return [StoredConnector(**row) for row in rows]


def find_catalogue(conn: Connection) -> list[StoredConnector]:
    """The connectors of the catalogue as stored."""
    rows = conn.execute(_SELECT + " and connectors.organisation_id is null order by connectors.key").fetchall()
    return [StoredConnector(**row) for row in rows]


@dataclass(frozen=True)
class Pin:
    """What a new job of an instance pins: its connector's newest revision, by number and digest."""

    connector_id: int
    revision_id: int
    digest: str
    is_disabled: bool
    """The instance takes no jobs at the moment."""
    job_number: int
    """Drawn along with it: what the id of the new job is made of."""
    callback_url: str | None = None
    """Of the instance, for a job that names none."""


def find_pin(conn: Connection, organisation_id: int, instance_id: int) -> Pin:
    """What a job of this tenant's instance would pin now. Raises NotFoundError."""
    row = conn.execute(
        "select instances.connector_id, newest.id as revision_id, newest.digest,"
        " instances.disabled_at is not null as is_disabled, nextval('job_numbers')::int as job_number,"
        " instances.configuration ->> %s as callback_url"
        " from instances join lateral (select id, digest"
        " from connector_revisions where connector_id = instances.connector_id order by revision desc limit 1)"
        " as newest on true where instances.id = %s and instances.organisation_id = %s"
        " and instances.deleted_at is null",
        (CALLBACK_URL, instance_id, organisation_id),
    ).fetchone()
    if row is None:
        raise NotFoundError(f"There is no instance {instance_id}.")
    return Pin(**row)


def get_revision(conn: Connection, revision_id: int) -> Revision:
    """The document that a job pinned. Raises NotFoundError."""
    row = conn.execute(
        "select id, connector_id, revision, document, digest from connector_revisions where id = %s", (revision_id,)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"There is no connector revision {revision_id}.")
    return Revision(**row)


def delete(conn: Connection, connector_id: int) -> None:
    """Hide the connector; its revisions stay for the jobs that pinned them.

    Raises ConflictError while instances use it. Runs inside the caller's transaction, which holds the row.
    """
    row = conn.execute(
        "select count(*) as n from instances where connector_id = %s and deleted_at is null", (connector_id,)
    ).fetchone()
    assert row is not None
    if row["n"]:
        raise ConflictError(f"The element has {row['n']} instance(s); delete them first.")
    conn.execute("update connectors set deleted_at = now() where id = %s", (connector_id,))


def _as_id(text: str) -> int | None:
    # At most 18 digits: more do not fit a bigint and are no id of ours.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None  # noqa: PLR2004
