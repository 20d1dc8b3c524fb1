"""Statements on deliveries, the outbox of callbacks, and their attempts.

The database's clock says what is due and which lease is over; the claim number alone says who may record.
An attempt has the number of its claim: one that a crash ended keeps the text it was begun with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.db.pool import Connection
from app.domain.deliveries import DeliveryStatus, Outcome
from app.errors import LostClaimError

RENUDGE_S = 30.0
"""A hint that nobody acted upon is sent again after this time: it is lost, or the queue is long."""

_UNFINISHED = "No result was recorded: the attempt is still running, or its worker died."


@dataclass(frozen=True)
class Claimed:
    """A delivery in the hands of one worker. `url` may carry secrets: it goes to the receiver and nowhere else."""

    id: int
    claim: int
    job_id: int
    run_number: int
    organisation_id: int
    instance_id: int
    event_id: str
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    attempt_count: int
    sealed_secrets: bytes = field(repr=False)
    """Of the instance, as they stand now, also of a deleted one: the signing key is among them."""

    @property
    def lost_count(self) -> int:
        """Earlier claims that ended without a result: their workers died or froze."""
        return self.claim - 1 - self.attempt_count


@dataclass(frozen=True)
class Attempt:
    """One POST as its tenant may see it. `error` is None for a success."""

    event_id: str
    run_number: int
    number: int
    started_at: datetime
    duration_ms: int
    http_status: int | None
    error: str | None
    delivery_status: DeliveryStatus
    next_attempt_at: datetime | None


@dataclass(frozen=True)
class Backlog:
    """What an operator watches. `oldest_due_at` is None when nothing is due."""

    due_count: int
    pending_count: int
    failed_count: int
    oldest_due_at: datetime | None


def insert(
    conn: Connection,
    *,
    job_id: int,
    organisation_id: int,
    instance_id: int,
    run_number: int,
    event_id: str,
    url: str,
    body: bytes,
    wait_s: float = 0.0,
) -> bool:
    """Owe a callback, in the caller's transaction, and tell the sweepers when it commits.

    False, and nothing done, where this run owes one already.
    """
    cursor = conn.execute(
        "insert into deliveries (job_id, organisation_id, instance_id, run_number, event_id, url, body,"
        " next_attempt_at) values (%s, %s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s))"
        " on conflict do nothing",
        (job_id, organisation_id, instance_id, run_number, event_id, url, body, wait_s),
    )
    conn.execute("select pg_notify('haulage_due', '')")
    return cursor.rowcount == 1


def find_due(conn: Connection, limit: int, *, renudge_s: float = RENUDGE_S) -> list[int]:
    """Ids of deliveries that nobody holds and nobody was told of lately, in turns over the organisations.

    In a transaction the rows stay locked until its end, so that two sweepers do not take the same ones.
    """
    rows = conn.execute(
        "with due as (select id, next_attempt_at,"
        "  row_number() over (partition by organisation_id order by next_attempt_at, id) as turn"
        "  from deliveries where next_attempt_at <= now() and coalesce(lease_expires_at <= now(), true)"
        "  and (nudged_at is null or nudged_at <= now() - make_interval(secs => %s)))"
        " select d.id from deliveries d join due using (id)"
        " order by due.turn, due.next_attempt_at, d.id limit %s for update of d skip locked",
        (renudge_s, limit),
    ).fetchall()
    return [row["id"] for row in rows]


def mark_nudged(conn: Connection, delivery_ids: Sequence[int]) -> None:
    """Remember that workers were told of these."""
    conn.execute("update deliveries set nudged_at = now() where id = any(%s)", (list(delivery_ids),))


def forget_nudge(conn: Connection, delivery_ids: Sequence[int]) -> None:
    """Take `mark_nudged` back: the hints could not be sent."""
    conn.execute("update deliveries set nudged_at = null where id = any(%s)", (list(delivery_ids),))


def next_due_at(conn: Connection, *, renudge_s: float = RENUDGE_S) -> datetime | None:
    """When `find_due` will have something (a time in the past: it has); None when nothing is owed."""
    row = conn.execute(
        "select min(greatest(next_attempt_at, lease_expires_at, nudged_at + make_interval(secs => %s))) as at"
        " from deliveries where next_attempt_at is not null",
        (renudge_s,),
    ).fetchone()
    return row["at"] if row else None


def claim(conn: Connection, delivery_id: int, worker_id: int | None, *, lease_s: float) -> Claimed | None:
    """Take a due delivery and begin the attempt; None where it is not due or somebody holds it.

    Needs a transaction: claim and begun attempt stand together.
    """
    row = conn.execute(
        "update deliveries set claim = claim + 1, worker_id = %s, nudged_at = null,"
        " lease_expires_at = now() + make_interval(secs => %s)"
        " where id = %s and next_attempt_at <= now() and coalesce(lease_expires_at <= now(), true)"
        " returning id, claim, job_id, run_number, organisation_id, instance_id, event_id, url, body, attempt_count,"
        " (select secrets from instances where instances.id = deliveries.instance_id) as sealed_secrets",
        (worker_id, lease_s, delivery_id),
    ).fetchone()
    if row is None:
        return None
    conn.execute(
        "insert into delivery_attempts (delivery_id, number, started_at, duration_ms, error)"
        " values (%s, %s, now(), 0, %s)",
        (row["id"], row["claim"], _UNFINISHED),
    )
    return Claimed(**row)


def record(conn: Connection, claimed: Claimed, outcome: Outcome, *, started_at: datetime, duration_s: float) -> None:
    """Write what came of the attempt and what is next. Needs a transaction: both stand together.

    Raises LostClaimError, and changes nothing, when somebody has claimed the delivery since or it is gone.
    """
    cursor = conn.execute(
        "update deliveries set status = %(status)s, attempt_count = attempt_count + 1, lease_expires_at = null,"
        " worker_id = null, next_attempt_at = now() + make_interval(secs => %(wait_s)s),"
        " finished_at = case when %(wait_s)s::float8 is null then now() end"
        " where id = %(id)s and claim = %(claim)s and lease_expires_at is not null",
        {"status": outcome.status.value, "wait_s": outcome.wait_s, "id": claimed.id, "claim": claimed.claim},
    )
    if cursor.rowcount == 0:
        raise LostClaimError(f"Callback {claimed.event_id} was taken over by another worker.")
    conn.execute(
        "update delivery_attempts set started_at = %s, duration_ms = %s, http_status = %s, error = %s"
        " where delivery_id = %s and number = %s",
        (started_at, round(duration_s * 1000), outcome.http_status, outcome.error, claimed.id, claimed.claim),
    )


def find_attempts(conn: Connection, organisation_id: int, job_id: int) -> list[Attempt]:
    """Every attempt of the job's callbacks, oldest first; empty for another tenant's job."""
    rows = conn.execute(
        "select d.event_id, d.run_number, a.number, a.started_at, a.duration_ms, a.http_status, a.error,"
        " d.status as delivery_status, d.next_attempt_at"
        " from delivery_attempts a join deliveries d on d.id = a.delivery_id"
        " where d.organisation_id = %s and d.job_id = %s order by d.run_number, a.number",
        (organisation_id, job_id),
    ).fetchall()
    return [Attempt(**{**row, "delivery_status": DeliveryStatus(row["delivery_status"])}) for row in rows]


def backlog(conn: Connection) -> Backlog:
    """Counts and age for the metrics. A delivery in somebody's hands is pending and not due."""
    row = conn.execute(
        "select count(*) as pending_count, count(*) filter (where due) as due_count,"
        " min(next_attempt_at) filter (where due) as oldest_due_at,"
        " (select count(*) from deliveries where status = 'FAILED') as failed_count"
        " from (select next_attempt_at, next_attempt_at <= now() and coalesce(lease_expires_at <= now(), true) as due"
        " from deliveries where next_attempt_at is not null) as owed"
    ).fetchone()
    assert row is not None
    return Backlog(**row)
