"""Numbered .sql files, applied once each, in order, under a lock, with a checksum."""

from __future__ import annotations

import hashlib
from importlib import resources

import psycopg

from app.errors import ConfigError, DatabaseUnavailableError

_LOCK = 0x4861756C  # any constant: two releases at once wait for each other


def migrations() -> list[tuple[str, str]]:
    """(name, SQL) of every migration in the package, in order."""
    folder = resources.files("app.db").joinpath("migrations")
    return sorted(
        (entry.name, entry.read_text(encoding="utf-8")) for entry in folder.iterdir() if entry.name.endswith(".sql")
    )


def migrate(database_url: str) -> list[str]:
    """Apply what is missing and return the names applied, each in a transaction of its own.

    Raises ConfigError when an applied file has changed since, DatabaseUnavailableError without a connection.
    """
    try:
        with psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection:
            connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
            return _apply_missing(connection)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"PostgreSQL: {error}") from error


def pending(connection: psycopg.Connection[dict[str, object]]) -> list[str]:
    """Names of migrations that this database has not had; everything when it is empty."""
    known = connection.execute("select to_regclass('migrations') as found").fetchone()
    if known is None or known["found"] is None:
        return [name for name, _ in migrations()]
    done = {row["name"] for row in connection.execute("select name from migrations").fetchall()}
    return [name for name, _ in migrations() if name not in done]


def _apply_missing(connection: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    connection.execute(
        "create table if not exists migrations"
        " (name text primary key, digest text not null, applied_at timestamptz not null default now())"
    )
    done = {str(name): digest for name, digest in connection.execute("select name, digest from migrations").fetchall()}
    applied = []
    for name, sql in migrations():
        digest = hashlib.sha256(sql.encode()).hexdigest()
        if name not in done:
            with connection.transaction():
                connection.execute(sql.encode())
                connection.execute("insert into migrations (name, digest) values (%s, %s)", (name, digest))
            applied.append(name)
        elif done[name] != digest:
            raise ConfigError(f"Migration {name} was changed after it had been applied; write a new one instead.")
    return applied
