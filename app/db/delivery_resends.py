"""Beginning a callback's schedule anew, with the same id and the same bytes."""

from __future__ import annotations

from app.db import receivers
from app.db.delivery_listing import NARROWED, DeliveryFilter
from app.db.pool import Connection

_BEGIN_ANEW = (
    "update deliveries set status = 'PENDING', next_attempt_at = now(), began_at = now(), finished_at = null,"
    " nudged_at = null, lease_expires_at = null, error = null, resend_count = resend_count + 1,"
    " attempts_before = attempt_count, claims_before = claim"
)
"""Attempts that were made keep their numbers; only those behind them count."""


def resend(conn: Connection, organisation_id: int, instance_id: int, event_id: str, job_id: int) -> bool:
    """Owe an ended callback of this job again. False, and nothing changed, where it is owed already or is not theirs.

    Needs a transaction, as `resend_some` does: the sweepers are told when it commits.
    """
    row = conn.execute(
        f"{_BEGIN_ANEW} where organisation_id = %s and instance_id = %s and event_id = %s and job_id = %s"
        " and status <> 'PENDING' returning host",
        (organisation_id, instance_id, event_id, job_id),
    ).fetchone()
    if row is None:
        return False
    _wake(conn, organisation_id, [row["host"]])
    return True


def resend_some(conn: Connection, organisation_id: int, instance_id: int, narrow: DeliveryFilter, limit: int) -> int:
    """Owe ended callbacks again, the oldest first, at most `limit`. Returns how many."""
    rows = conn.execute(
        f"{_BEGIN_ANEW} where id in (select d.id from deliveries d where {NARROWED} and d.status <> 'PENDING'"
        " order by d.id limit %(limit)s for update skip locked) returning host",
        {"organisation": organisation_id, "instance": instance_id, "limit": limit, **narrow.values()},
    ).fetchall()
    _wake(conn, organisation_id, sorted({row["host"] for row in rows}))
    return len(rows)


def _wake(conn: Connection, organisation_id: int, hosts: list[str]) -> None:
    receivers.end_pauses(conn, organisation_id, hosts)
    conn.execute("select pg_notify('haulage_due', '')")
