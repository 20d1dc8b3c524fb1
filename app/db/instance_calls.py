"""Statements on the vendor budget of an instance: the day's quota, and until when the vendor wants to be left alone."""

from __future__ import annotations

from datetime import date

from app.db.pool import Connection

_KEPT_DAYS = 40


def find_taken(conn: Connection, instance_id: int, day: date) -> int:
    """Calls that were taken out of the quota of that day so far."""
    row = conn.execute(
        "select calls from instance_calls where instance_id = %s and day = %s", (instance_id, day)
    ).fetchone()
    return 0 if row is None else int(row["calls"])


def take(conn: Connection, instance_id: int, day: date, *, calls: int, quota: int) -> bool:
    """Take `calls` more out of it, all or none; False when fewer are left. `calls` is at most `quota`."""
    row = conn.execute(
        "with old as (delete from instance_calls where instance_id = %(instance)s and day < %(day)s - %(kept)s)"
        " insert into instance_calls as known (instance_id, day, calls) values (%(instance)s, %(day)s, %(calls)s)"
        " on conflict (instance_id, day) do update set calls = known.calls + excluded.calls"
        " where known.calls + excluded.calls <= %(quota)s returning calls",
        {"instance": instance_id, "day": day, "calls": calls, "quota": quota, "kept": _KEPT_DAYS},
    ).fetchone()
    return row is not None


def block(conn: Connection, instance_id: int, wait_s: float) -> None:
    """The vendor asked to be left alone for so long; an earlier word that reaches further stands."""
    conn.execute(
        "update instances set blocked_until = greatest(blocked_until, now() + make_interval(secs => %(wait)s))"
        " where id = %(instance)s",
        {"instance": instance_id, "wait": wait_s},
    )
