"""Statements on deliveries, the outbox of callbacks, and their attempts.

The database's clock says what is due and which lease is over; the claim number alone says who may record.
An attempt has the number of its claim: one that a crash ended keeps the text it was begun with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from app.db import receivers
from app.db.pool import Connection
from app.domain.deliveries import DeliveryStatus, Outcome
from app.domain.receivers import DEFAULT, Limits
from app.errors import LostClaimError
from app.secrets import USER_NAME

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
    host: str
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    attempt_count: int
    attempts_before: int
    claims_before: int
    sealed_secrets: bytes = field(repr=False)
    """Of the instance, as they stand now, also of a deleted one: the signing keys are among them."""
    user_name: str | None = field(repr=False)
    """Of the basic authorization that the instance asks for."""

    @property
    def failed_count(self) -> int:
        """Attempts of its schedule, which a resend begins anew."""
        return self.attempt_count - self.attempts_before

    @property
    def lost_count(self) -> int:
        """Claims of its schedule that ended without a result: their workers died or froze."""
        return self.claim - 1 - self.claims_before - self.failed_count


@dataclass(frozen=True)
class GivenUp:
    """A delivery that failed without a last attempt."""

    event_id: str
    job_id: int
    error: str


@dataclass(frozen=True)
class Backlog:
    """What an operator watches. `oldest_due_at` is None when nothing is due.

    `counts`: deliveries by state. What is put off since its receiver does not answer is pending and not due.
    """

    due_count: int
    put_off_count: int
    oldest_due_at: datetime | None
    counts: dict[str, int]

    @property
    def pending_count(self) -> int:
        """Callbacks owed."""
        return self.counts.get(DeliveryStatus.PENDING.value, 0)

    @property
    def failed_count(self) -> int:
        """Callbacks given up."""
        return self.counts.get(DeliveryStatus.FAILED.value, 0)


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


def claim(
    conn: Connection, delivery_id: int, worker_id: int | None, *, lease_s: float, limits: Limits = DEFAULT
) -> Claimed | None:
    """Take a due delivery and begin the attempt; None where it is not due, somebody holds it, or its host is not to be
    asked just now.

    Needs a transaction: claim and begun attempt stand together.
    """
    due = conn.execute(
        "select organisation_id, host from deliveries where id = %s and next_attempt_at <= now()"
        " and coalesce(lease_expires_at <= now(), true) for update",
        (delivery_id,),
    ).fetchone()
    if due is None:
        return None
    if not receivers.admit(conn, due["organisation_id"], due["host"], limits):
        conn.execute("update deliveries set nudged_at = null where id = %s", (delivery_id,))
        return None
    row = conn.execute(
        "update deliveries set claim = claim + 1, worker_id = %s, nudged_at = null,"
        " lease_expires_at = now() + make_interval(secs => %s) where id = %s"
        " returning id, claim, job_id, run_number, organisation_id, instance_id, event_id, host, url, body,"
        " attempt_count, attempts_before, claims_before,"
        " (select secrets from instances where instances.id = deliveries.instance_id) as sealed_secrets,"
        " (select configuration ->> %s from instances where instances.id = deliveries.instance_id) as user_name",
        (worker_id, lease_s, delivery_id, USER_NAME),
    ).fetchone()
    assert row is not None
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
        " worker_id = null, next_attempt_at = now() + make_interval(secs => %(wait_s)s), error = %(error)s,"
        " finished_at = case when %(wait_s)s::float8 is null then now() end"
        " where id = %(id)s and claim = %(claim)s and lease_expires_at is not null",
        {
            "status": outcome.status.value,
            "wait_s": outcome.wait_s,
            "error": outcome.error,
            "id": claimed.id,
            "claim": claimed.claim,
        },
    )
    if cursor.rowcount == 0:
        raise LostClaimError(f"Callback {claimed.event_id} was taken over by another worker.")
    conn.execute(
        "update delivery_attempts set started_at = %s, duration_ms = %s, http_status = %s, error = %s"
        " where delivery_id = %s and number = %s",
        (started_at, round(duration_s * 1000), outcome.http_status, outcome.error, claimed.id, claimed.claim),
    )


def wake_for_others(conn: Connection, claimed: Claimed, *, of_any_host: bool) -> None:
    """Tell the sweepers, when this commits, that a slot is free: if more is due at the host, or `of_any_host`."""
    conn.execute(
        "select pg_notify('haulage_due', '') where %s or exists (select 1 from deliveries where organisation_id = %s"
        " and host = %s and next_attempt_at <= now() and lease_expires_at is null)",
        (of_any_host, claimed.organisation_id, claimed.host),
    )


def give_up(conn: Connection, *, older_than_s: float, limit: int) -> list[GivenUp]:
    """Fail due deliveries of hosts that do not answer, whose schedule began so long ago; at most `limit`."""
    rows = conn.execute(
        "update deliveries set status = 'FAILED', next_attempt_at = null, nudged_at = null, finished_at = now(),"
        " error = concat('Given up, since the receiver does not answer. ', old.last_error)"
        " from (select d.id, r.last_error"
        "   from deliveries d join receivers r using (organisation_id, host)"
        "   where d.next_attempt_at <= now() and coalesce(d.lease_expires_at <= now(), true) and r.pause_s is not null"
        "   and coalesce(d.began_at, d.created_at) < now() - make_interval(secs => %s)"
        "   order by d.id limit %s for update of d skip locked) as old"
        " where deliveries.id = old.id returning deliveries.event_id, deliveries.job_id, deliveries.error",
        (older_than_s, limit),
    ).fetchall()
    return [GivenUp(**row) for row in rows]


def backlog(conn: Connection) -> Backlog:
    """Counts and age for the metrics. A delivery in somebody's hands is pending and not due."""
    rows = conn.execute("select status, count(*)::int as n from deliveries group by status").fetchall()
    row = conn.execute(
        "select (count(*) filter (where not put_off))::int as due_count,"
        " (count(*) filter (where put_off))::int as put_off_count,"
        " min(next_attempt_at) filter (where not put_off) as oldest_due_at"
        " from (select next_attempt_at, coalesce(r.paused_until > now(), false) as put_off"
        "   from deliveries left join receivers r using (organisation_id, host)"
        "   where next_attempt_at <= now() and coalesce(lease_expires_at <= now(), true)) as due"
    ).fetchone()
    assert row is not None
    return Backlog(**row, counts={each["status"]: each["n"] for each in rows})
