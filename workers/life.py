"""A worker process's row and its sign of life: an advisory lock that ends with the process."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

import structlog

from app.db import workers
from app.db.pool import Connection, Database
from app.errors import DatabaseUnavailableError

log = structlog.get_logger()

_BEAT_S = 1.0


class Life:
    """Registers the process, keeps its lock and its `seen_at`, and says goodbye.

    A thread of its own: it tells that the process exists, not that a leg makes progress; leases tell that.
    """

    def __init__(self, db: Database, *, slots: int, version: str, callback_slots: int = 0) -> None:
        self._db = db
        self._slots = slots
        self._callback_slots = callback_slots
        self._version = version
        self._conn: Connection | None = None
        self._end = threading.Event()
        self._known = threading.Event()
        self._thread = threading.Thread(target=self._run, name="life", daemon=True)
        self.worker_id: int | None = None

    def start(self, *, wait_s: float = 5.0) -> None:
        """Begin; returns once registered, or after `wait_s` while PostgreSQL is away (work goes on without a row)."""
        self._thread.start()
        self._known.wait(wait_s)

    def stop(self) -> None:
        """Say goodbye and let go of the lock."""
        self._end.set()
        self._thread.join(timeout=3)

    def _run(self) -> None:
        while not self._end.is_set():
            self._beat()
            self._end.wait(_BEAT_S)
        with contextlib.suppress(DatabaseUnavailableError):
            if self.worker_id is not None:
                with self._db.connection() as conn:
                    workers.stop(conn, self.worker_id)
        self._drop()

    def _beat(self) -> None:
        try:
            if self._conn is None:
                self._conn = self._db.dedicated()
                self._sign_in(self._conn)
            elif self.worker_id is not None:
                with self._db.guard():
                    workers.touch(self._conn, self.worker_id)
        except DatabaseUnavailableError as error:
            log.info("life.no_database", reason=error.message)
            self._drop()

    def _sign_in(self, conn: Connection) -> None:
        with self._db.guard():
            if self.worker_id is None:
                name = f"{socket.gethostname()}:{os.getpid()}"
                self.worker_id = workers.register(
                    conn, name=name, slots=self._slots, version=self._version, callback_slots=self._callback_slots
                )
            else:
                workers.lock(conn, self.worker_id)
                workers.touch(conn, self.worker_id)
        self._known.set()

    def _drop(self) -> None:
        if self._conn is not None:
            with contextlib.suppress(DatabaseUnavailableError), self._db.guard():
                self._conn.close()
            self._conn = None
