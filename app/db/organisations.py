"""Statements on table organisations: the tenants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg

from app.db.pool import Connection
from app.domain.ids import scatter
from app.errors import ConflictError, NotFoundError


@dataclass(frozen=True)
class Organisation:
    """One tenant."""

    id: int
    name: str
    created_at: datetime
    disabled_at: datetime | None


def insert(conn: Connection, name: str, *, id_key: str) -> Organisation:
    """Store a new organisation. Raises ConflictError if the name is taken."""
    number = conn.execute("select nextval('organisation_numbers')::int as number").fetchone()
    assert number is not None
    try:
        row = conn.execute(
            "insert into organisations (id, name) values (%s, %s) returning id, name, created_at, disabled_at",
            (scatter(id_key, "organisation", number["number"]), name),
        ).fetchone()
    except psycopg.errors.UniqueViolation as error:
        raise ConflictError(f"There is an organisation {name!r} already.") from error
    assert row is not None
    return Organisation(**row)


def get_by_name(conn: Connection, name: str) -> Organisation:
    """Raises NotFoundError."""
    row = conn.execute(
        "select id, name, created_at, disabled_at from organisations where name = %s", (name,)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"There is no organisation {name!r}.")
    return Organisation(**row)


def find_all(conn: Connection) -> list[Organisation]:
    """Every organisation by name."""
    rows = conn.execute("select id, name, created_at, disabled_at from organisations order by name").fetchall()
    return [Organisation(**row) for row in rows]


def set_disabled(conn: Connection, organisation_id: int, *, disabled: bool) -> None:
    """Lock the tenant out, or let it in again."""
    conn.execute(
        "update organisations set disabled_at = case when %s then coalesce(disabled_at, now()) end where id = %s",
        (disabled, organisation_id),
    )
