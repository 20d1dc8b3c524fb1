"""Statements on table users: people and programs of an organisation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg

from app.db.pool import Connection
from app.domain.ids import scatter
from app.errors import ConflictError, NotFoundError


@dataclass(frozen=True)
class User:
    """One user of one organisation."""

    id: int
    organisation_id: int
    name: str
    created_at: datetime
    disabled_at: datetime | None


def insert(conn: Connection, organisation_id: int, name: str, *, id_key: str) -> User:
    """Store a new user. Raises ConflictError if the organisation has one of that name."""
    number = conn.execute("select nextval('user_numbers')::int as number").fetchone()
    assert number is not None
    try:
        row = conn.execute(
            "insert into users (id, organisation_id, name) values (%s, %s, %s)"
            " returning id, organisation_id, name, created_at, disabled_at",
            (scatter(id_key, "user", number["number"]), organisation_id, name),
        ).fetchone()
    except psycopg.errors.UniqueViolation as error:
        raise ConflictError(f"The organisation has a user {name!r} already.") from error
    assert row is not None
    return User(**row)


def get_by_name(conn: Connection, organisation_id: int, name: str) -> User:
    """Raises NotFoundError."""
    row = conn.execute(
        "select id, organisation_id, name, created_at, disabled_at from users where organisation_id = %s and name = %s",
        (organisation_id, name),
    ).fetchone()
    if row is None:
        raise NotFoundError(f"The organisation has no user {name!r}.")
    return User(**row)


def find_of_organisation(conn: Connection, organisation_id: int) -> list[User]:
    """Every user of the organisation by name."""
    rows = conn.execute(
        "select id, organisation_id, name, created_at, disabled_at from users where organisation_id = %s order by name",
        (organisation_id,),
    ).fetchall()
    return [User(**row) for row in rows]


def set_disabled(conn: Connection, user_id: int, *, disabled: bool) -> None:
    """Lock the user out, or let them in again."""
    conn.execute(
        "update users set disabled_at = case when %s then coalesce(disabled_at, now()) end where id = %s",
        (disabled, user_id),
    )
