"""Every step that a service takes in the world, counted, so that a test can strike at each one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import psycopg

from app.db.pool import Connection, Database
from app.storage.objects import ObjectStore

Strike = Callable[[str, Connection | None], None]


class Killed(BaseException):
    """The process died here. Nothing of ours may catch it."""


def kill(name: str, _conn: Connection | None) -> None:
    """The process dies at this step."""
    raise Killed(name)


def cut(name: str, conn: Connection | None) -> None:
    """The connection to PostgreSQL dies at this step; steps elsewhere go well."""
    if conn is not None:
        conn.close()
        raise psycopg.OperationalError(f"the connection was cut {name}")


class Steps:
    """Names of the steps taken since `arm`, and what happens at one of them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._at = -1
        self._strike: Strike = kill
        self._is_dead = False
        self._lock = threading.Lock()

    def arm(self, at: int, strike: Strike = kill) -> None:
        """Count from the beginning; `strike` at step number `at` (0 is the first, -1 never)."""
        self.names = []
        self._at, self._strike, self._is_dead = at, strike, False

    def take(self, name: str, conn: Connection | None = None) -> None:
        """Called at each step, by any thread. Where one was killed, the others do not come any further either."""
        with self._lock:
            if self._is_dead:
                raise Killed(name)
            is_struck = len(self.names) == self._at
            self.names.append(name)
            self._is_dead = is_struck and self._strike is kill
        if is_struck:
            self._strike(name, conn)


class SteppedConnection:
    """Stands in for a connection: a step before and after each statement and each COMMIT."""

    def __init__(self, inner: Connection, steps: Steps) -> None:
        self._inner = inner
        self._steps = steps

    def execute(self, statement: Any, values: Any = None) -> Any:
        name = " ".join(str(statement).split()[:2])
        self._steps.take(f"before {name}", self._inner)
        cursor = self._inner.execute(statement, values)
        self._steps.take(f"after {name}", self._inner)
        return cursor

    @contextmanager
    def transaction(self) -> Iterator[SteppedConnection]:
        with self._inner.transaction():
            yield self
            self._steps.take("before commit", self._inner)
        self._steps.take("after commit", self._inner)


class SteppedDatabase(Database):
    """The product's database class on stepped connections."""

    def __init__(self, url: str, steps: Steps, *, max_size: int = 8) -> None:
        super().__init__(url, max_size=max_size)
        self._steps = steps

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        with super().connection() as conn:
            yield cast("Connection", SteppedConnection(conn, self._steps))


class SteppedStore(ObjectStore):
    """A store with a step before and after each change."""

    def __init__(self, inner: ObjectStore, steps: Steps) -> None:
        self.inner = inner
        self.url = inner.url
        self._steps = steps

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        self._steps.take("before put")
        self.inner.put(key, chunks)
        self._steps.take("after put")

    def delete(self, key: str) -> None:
        self._steps.take("before delete")
        self.inner.delete(key)

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        return self.inner.open(key, offset)

    def size(self, key: str) -> int:
        return self.inner.size(key)

    def delete_prefix(self, prefix: str) -> None:
        self.inner.delete_prefix(prefix)

    def list(self, prefix: str = "") -> Iterator[str]:
        return self.inner.list(prefix)

    def free_bytes(self) -> int | None:
        return self.inner.free_bytes()

    def unfinished(self, prefix: str) -> dict[str, str]:
        return self.inner.unfinished(prefix)

    def discard(self, name: str) -> None:
        self.inner.discard(name)
