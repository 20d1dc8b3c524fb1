"""Statements on table instances: a customer's authenticated connections."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.db.pool import Connection, Row, as_json
from app.domain.ids import scatter
from app.errors import NotFoundError

_SELECT = """
select instances.id, instances.organisation_id, instances.connector_id, instances.name, instances.tags,
       instances.configuration, instances.secrets, instances.token_hint, instances.created_at, instances.updated_at,
       instances.disabled_at, connectors.key as connector_key,
       newest.id as revision_id, newest.document->>'name' as connector_name, newest.document->>'hub' as connector_hub
from instances
join connectors on connectors.id = instances.connector_id
join lateral (select id, document from connector_revisions
              where connector_id = instances.connector_id order by revision desc limit 1) as newest on true
where instances.deleted_at is null
"""


@dataclass(frozen=True)
class Instance:
    """One instance that is not deleted. `secrets` is sealed; see app.secrets.Vault."""

    id: int
    organisation_id: int
    connector_id: int
    name: str
    tags: list[str]
    configuration: dict[str, Any]
    secrets: bytes = field(repr=False)
    token_hint: str
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None
    connector_key: str
    revision_id: int
    """The newest revision of the connector, which a new job pins."""
    connector_name: str | None
    connector_hub: str | None


@dataclass(frozen=True)
class NewInstance:
    """What is stored of a new instance. The id comes first because the secrets are bound to it."""

    id: int
    organisation_id: int
    connector_id: int
    name: str
    tags: list[str]
    configuration: dict[str, Any]
    secrets: bytes = field(repr=False)
    token_hash: bytes = field(repr=False)
    token_hint: str = field(repr=False)


@dataclass(frozen=True)
class InstanceFilter:
    """What a listing may be narrowed by; None means any."""

    connector_id: int | None = None
    tags: list[str] | None = None
    """Instances that have all of these."""
    search_text: str | None = None
    """Part of the name."""


def next_id(conn: Connection, *, id_key: str) -> int:
    """An id for a new instance."""
    row = conn.execute("select nextval('instance_numbers')::int as number").fetchone()
    assert row is not None
    return scatter(id_key, "instance", row["number"])


def insert(conn: Connection, new: NewInstance) -> None:
    """Store an instance; refused with NotFoundError if its connector was deleted meanwhile."""
    stored = conn.execute(
        "insert into instances (id, organisation_id, connector_id, name, tags, configuration, secrets, token_hash,"
        " token_hint) select %s, %s, id, %s, %s, %s, %s, %s, %s from connectors"
        " where id = %s and deleted_at is null for share",
        (
            new.id,
            new.organisation_id,
            new.name,
            new.tags,
            as_json(new.configuration),
            new.secrets,
            new.token_hash,
            new.token_hint,
            new.connector_id,
        ),
    )
    if not stored.rowcount:
        raise NotFoundError("There is no such element any more.")


def get(conn: Connection, organisation_id: int, instance_id: int, *, lock: bool = False) -> Instance:
    """The instance of this tenant. Raises NotFoundError for any other id."""
    row = conn.execute(
        _SELECT
        + " and instances.id = %s and instances.organisation_id = %s"
        + (" for update of instances" if lock else ""),
        (instance_id, organisation_id),
    ).fetchone()
    if row is None:
        raise NotFoundError(f"There is no instance {instance_id}.")
    return _read(row)


def find_page(
    conn: Connection, organisation_id: int, after_id: int, page_size: int, narrow: InstanceFilter
) -> list[Instance]:
    """Instances of the tenant by id."""
    rows = conn.execute(
        _SELECT + " and instances.organisation_id = %(organisation)s and instances.id > %(after)s"
        " and (%(connector)s::bigint is null or instances.connector_id = %(connector)s)"
        " and (%(tags)s::text[] is null or instances.tags @> %(tags)s)"
        " and (%(text)s::text is null or position(lower(%(text)s) in lower(instances.name)) > 0)"
        " order by instances.id limit %(size)s",
        {
            "organisation": organisation_id,
            "after": after_id,
            "connector": narrow.connector_id,
            "tags": narrow.tags,
            "text": narrow.search_text,
            "size": page_size,
        },
    ).fetchall()
    return [_read(row) for row in rows]


def update(conn: Connection, instance: Instance) -> None:
    """Store name, tags, configuration and secrets of an instance, inside the transaction that locked it."""
    conn.execute(
        "update instances set name = %s, tags = %s, configuration = %s, secrets = %s, updated_at = now(),"
        " blocked_until = null where id = %s",
        (instance.name, instance.tags, as_json(instance.configuration), instance.secrets, instance.id),
    )


def set_disabled(conn: Connection, organisation_id: int, instance_id: int, *, disabled: bool) -> None:
    """Disable (its jobs abort, its token is refused) or enable. Raises NotFoundError."""
    done = conn.execute(
        "update instances set disabled_at = case when %s then coalesce(disabled_at, now()) end, updated_at = now()"
        " where id = %s and organisation_id = %s and deleted_at is null",
        (disabled, instance_id, organisation_id),
    )
    if not done.rowcount:
        raise NotFoundError(f"There is no instance {instance_id}.")


def delete(conn: Connection, organisation_id: int, instance_id: int) -> None:
    """Mark as deleted; the sweeper aborts its jobs. Raises NotFoundError."""
    done = conn.execute(
        "update instances set deleted_at = now() where id = %s and organisation_id = %s and deleted_at is null",
        (instance_id, organisation_id),
    )
    if not done.rowcount:
        raise NotFoundError(f"There is no instance {instance_id}.")


def find_sealed(conn: Connection, after_id: int, limit: int) -> list[tuple[int, bytes]]:
    """(id, sealed secrets) of every tenant's instances by id, deleted ones too: for the rotation of keys."""
    rows = conn.execute(
        "select id, secrets from instances where id > %s order by id limit %s", (after_id, limit)
    ).fetchall()
    return [(row["id"], row["secrets"]) for row in rows]


def replace_sealed(conn: Connection, instance_id: int, *, old: bytes, new: bytes) -> bool:
    """Swap the sealed secrets unless somebody changed them meanwhile."""
    return bool(
        conn.execute(
            "update instances set secrets = %s where id = %s and secrets = %s", (new, instance_id, old)
        ).rowcount
    )


def _read(row: Row) -> Instance:
    return Instance(**row)
