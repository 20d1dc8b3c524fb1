"""How sweepers hear that something is due: PostgreSQL's own messages, which nothing depends on."""

from __future__ import annotations

from app.db.pool import Connection, Database


def notify(conn: Connection) -> None:
    """Wake the sweepers when the transaction commits."""
    conn.execute("select pg_notify('haulage_due', '')")


def wake_sweepers(conn: Connection) -> None:
    """Wake the sweepers at once; not inside a transaction, but behind the COMMIT of what is due.

    PostgreSQL lets transactions that notify commit one after the other, each with its own wait for the disk, so many at
    once are slow. This one has nothing to keep and does not wait; should it be lost, a sweeper looks by itself soon.
    """
    conn.execute("select set_config('synchronous_commit', 'off', true), pg_notify('haulage_due', '')")


def listen(db: Database) -> Connection:
    """A connection that hears of work that became due. Raises DatabaseUnavailableError."""
    connection = db.dedicated()
    with db.guard():
        connection.execute("listen haulage_due")
    return connection


def wait_for_notify(connection: Connection, timeout_s: float) -> bool:
    """True as soon as a transaction that made something due has committed, False after `timeout_s`."""
    with Database.guard():
        return any(True for _ in connection.notifies(timeout=timeout_s, stop_after=1))


def take_all(connection: Connection) -> None:
    """Throw away what has arrived meanwhile: one look sees everything that is due."""
    with Database.guard():
        for _ in connection.notifies(timeout=0):
            pass
