"""Connections to PostgreSQL: the pool, transactions, and what a broken connection means to the caller."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from psycopg.errors import IdleInTransactionSessionTimeout, ReadOnlySqlTransaction
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb, set_json_dumps, set_json_loads
from psycopg_pool import ConnectionPool, PoolTimeout

from app.errors import CommitInDoubtError, DatabaseUnavailableError

_ATTEMPT_S = 0.5
"""The pool tries to connect once for each asking and lets the asker wait: so it is asked again."""

Connection = psycopg.Connection[DictRow]
Row = DictRow

# libpq and server options: every wait is bounded, a dead peer is noticed in seconds (reliability 1.5).
_OPTIONS = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10000,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "application_name": "haulage",
    "options": "-c statement_timeout=15s -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s -c timezone=UTC",
}

# A JSON column comes back exactly as Python's own numbers; msgspec is several times quicker than json.
set_json_loads(msgspec.json.decode)
set_json_dumps(msgspec.json.encode)

_AS_GOOD_AS_AWAY = (ReadOnlySqlTransaction, IdleInTransactionSessionTimeout)
"""A server that was the primary until a moment ago only reads now; one that gave up a frozen client hung up on it."""


def as_json(value: Any) -> Jsonb:
    """A value for a jsonb column."""
    return Jsonb(value)


class Database:
    """One pool a process. Open it after forking, never before: connections are not process-safe."""

    def __init__(self, url: str, *, max_size: int = 4, wait_s: float = 10.0) -> None:
        self._url = url
        self._wait_s = wait_s
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            kwargs={**_OPTIONS, "autocommit": True, "row_factory": dict_row},
            min_size=0,
            max_size=max_size,
            max_lifetime=1800,
            max_idle=300,
            reconnect_timeout=0,
            open=False,
            check=None,
        )

    def open(self) -> None:
        """Start the pool's threads. Connections are made at first use."""
        self._pool.open()

    def close(self) -> None:
        """Give every connection back."""
        self._pool.close(timeout=2)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """An autocommit connection: each statement is its own transaction.

        Raises DatabaseUnavailableError when the connection cannot be had or breaks on the way. A statement that
        changed something is then in doubt; callers that need to know look for their own mark afterwards.
        """
        with self.guard():
            connection = self._checkout()
            try:
                with connection:  # one of the pool's is not closed at the end
                    yield connection
            finally:
                self._pool.putconn(connection)

    def _checkout(self) -> Connection:
        """A kept connection that is still open, or a new one.

        Those that the server closed meanwhile are dropped: otherwise a restart of PostgreSQL would cost one failed
        request for each of them, whenever that is next used. (The pool's own check waits seconds between two of them.)
        """
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                connection = self._pool.getconn(timeout=_ATTEMPT_S)
            except PoolTimeout:
                if time.monotonic() >= deadline:
                    raise
                continue
            if not _was_closed(connection):
                return connection
            connection.close()
            self._pool.putconn(connection)

    @staticmethod
    @contextmanager
    def guard() -> Iterator[None]:
        """Translate a broken connection into DatabaseUnavailableError, for connections outside the pool too."""
        try:
            yield
        except PoolTimeout as error:
            raise DatabaseUnavailableError("PostgreSQL did not give a connection in time.") from error
        except (psycopg.OperationalError, psycopg.InterfaceError, *_AS_GOOD_AS_AWAY) as error:
            raise DatabaseUnavailableError(f"PostgreSQL: {_first_line(error)}") from error

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection inside one transaction, committed at the end of the block.

        Raises CommitInDoubtError when the connection broke at COMMIT, DatabaseUnavailableError when it broke before.
        """
        with self.connection() as connection:
            finished = False
            try:
                with connection.transaction():
                    yield connection
                    finished = True
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                if finished:
                    raise CommitInDoubtError(f"PostgreSQL at COMMIT: {_first_line(error)}") from error
                raise

    def dedicated(self) -> Connection:
        """A connection outside the pool, for LISTEN and for advisory locks. The caller closes it."""
        with self.guard():
            return psycopg.connect(self._url, autocommit=True, row_factory=dict_row, **_OPTIONS)  # type: ignore[arg-type]


def _was_closed(connection: Connection) -> bool:
    """Whether the server has closed an idle connection, without a round trip.

    Nothing is under way on it, so whatever lies there to be read is a goodbye.
    """
    watch = select.poll()
    watch.register(connection.fileno(), select.POLLIN)
    return bool(watch.poll(0))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
