"""Statements on table workers: who is alive.

A worker process holds an advisory lock on a connection of its own. A SIGKILLed process loses the lock in the same
moment, so the sweeper need not wait for its leases. The lock is a hint about life, never the fence (reliability 3).
"""

from __future__ import annotations

from app.db.pool import Connection

_LOCK_CLASS = 0x48574B  # any constant of ours


def register(conn: Connection, *, name: str, slots: int, version: str, callback_slots: int = 0) -> int:
    """A row for this process, locked by this connection for as long as it lives. Returns its id.

    `slots`: legs that it can run at once; `callback_slots`: callbacks that it can send at once.
    """
    row = conn.execute(
        "insert into workers (name, slots, callback_slots, version) values (%s, %s, %s, %s) returning id",
        (name, slots, callback_slots, version),
    ).fetchone()
    assert row is not None
    worker_id = int(row["id"])
    lock(conn, worker_id)
    return worker_id


def lock(conn: Connection, worker_id: int) -> None:
    """Take (again) the sign of life, after the connection was made anew."""
    conn.execute("select pg_advisory_lock(%s, %s)", (_LOCK_CLASS, worker_id))


def touch(conn: Connection, worker_id: int) -> None:
    """I am here."""
    conn.execute("update workers set seen_at = now(), stopped_at = null where id = %s", (worker_id,))


def stop(conn: Connection, worker_id: int) -> None:
    """A polite goodbye."""
    conn.execute("update workers set stopped_at = now() where id = %s", (worker_id,))


def expire_dead(conn: Connection, *, silent_s: float) -> int:
    """End the leases of processes that hold no lock and were silent for `silent_s`. Returns how many slices.

    Not within 10 s of a start of PostgreSQL: then nobody holds a lock and the living need a moment to come back.
    """
    return conn.execute(
        "with dead as (update workers set stopped_at = now() where stopped_at is null"
        " and seen_at < now() - make_interval(secs => %(silent)s)"
        " and pg_postmaster_start_time() < now() - interval '10 seconds'"
        " and not exists (select 1 from pg_locks where locktype = 'advisory' and classid = %(class)s"
        " and objid = workers.id::oid and granted"
        " and database = (select oid from pg_database where datname = current_database())) returning id),"
        " freed as (update deliveries set lease_expires_at = now() from dead where worker_id = dead.id"
        " and lease_expires_at > now()),"
        " let_go as (update pushes set lease_expires_at = now() from dead where worker_id = dead.id"
        " and lease_expires_at > now())"
        " update slices set lease_expires_at = now() from dead where worker_id = dead.id and lease_expires_at > now()",
        {"silent": silent_s, "class": _LOCK_CLASS},
    ).rowcount


SLOTS_ALIVE = (
    "select coalesce(sum(slots), 0)::int as n from workers"
    " where stopped_at is null and seen_at > now() - interval '30 s'"
)


def slots_alive(conn: Connection) -> int:
    """Legs that all living worker processes can run at once."""
    row = conn.execute(SLOTS_ALIVE).fetchone()
    return int(row["n"]) if row else 0


def forget_stopped(conn: Connection) -> int:
    """Drop rows of processes that ended a day ago and hold nothing."""
    return conn.execute(
        "delete from workers where stopped_at < now() - interval '1 day'"
        " and not exists (select 1 from slices where worker_id = workers.id)"
    ).rowcount
