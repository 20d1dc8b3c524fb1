"""Statements on pushes, the outputs on their way to customers' places, and on what their attempts leave there.

The database's clock says what is due and which lease is over; the claim number alone says who may record. A push that
has ended stays due until what its attempts left unfinished is removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from app.db.jobs import Ending, Job
from app.db.pool import Connection, Database, Row, as_json
from app.domain.jobs import JobStatus, StopReason
from app.domain.pushes import PushState
from app.errors import LostClaimError

RENUDGE_S = 30.0
"""A hint that nobody acted upon is sent again after this time."""

TIDY_FOR_S = 7 * 86400.0
"""So long what an ended push may have left at its destination is looked for, if that cannot be reached."""

_DUE = "next_attempt_at <= clock_timestamp() and coalesce(lease_expires_at <= clock_timestamp(), true)"


_UNDER_WAY = "lease_expires_at > clock_timestamp()"


@dataclass(frozen=True)
class Claimed:
    """A push in the hands of one worker."""

    id: int
    claim: int
    job_id: int
    run_number: int
    organisation_id: int
    instance_id: int
    path: str
    state: PushState
    attempt_count: int
    lost_count: int
    """Claims before this one that ended without a word: their workers died or froze."""
    is_late: bool
    """The time to try it in is over; of a push that has ended, that to remove what its attempts left."""


@dataclass(frozen=True)
class Remains:
    """What an attempt may have left at the destination."""

    claim: int
    nonce: str
    notes: tuple[str, ...]


def insert(conn: Connection, job: Job, *, instance_id: int, path: str, ending: Ending, for_s: float) -> None:
    """Owe a push of the job's newest run, in the caller's transaction; it is given up after `for_s`."""
    told = {
        "status": ending.status.value,
        "stop_reason": ending.stop_reason.value,
        "message": ending.message,
        "error": ending.error,
        "has_more": ending.has_more,
    }
    conn.execute(
        "insert into pushes (job_id, run_number, organisation_id, instance_id, path, ending, give_up_at)"
        " values (%s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s))",
        (job.id, job.run_number, job.organisation_id, instance_id, path, as_json(told), for_s),
    )
    _tell(conn, job.id, instanceId=str(instance_id), path=path, state=PushState.PENDING.value, attempts=0)


def find_ending(conn: Connection, job_id: int, run_number: int) -> Ending | None:
    """How the run ends that waits for its push; None if it waits for none. Locks the push."""
    return _ending(conn.execute(f"{_ENDING} for update", (job_id, run_number)).fetchone())


def look_ending(conn: Connection, job_id: int, run_number: int) -> Ending | None:
    """The same without a lock."""
    return _ending(conn.execute(_ENDING, (job_id, run_number)).fetchone())


_ENDING = "select ending from pushes where job_id = %s and run_number = %s and state = 'PENDING'"


def _ending(row: Row | None) -> Ending | None:
    if row is None:
        return None
    told = row["ending"]
    return Ending(
        JobStatus(told["status"]), StopReason(told["stop_reason"]), told["message"], told["error"], told["has_more"]
    )


def find_due(conn: Connection, limit: int, *, renudge_s: float = RENUDGE_S) -> list[int]:
    """Ids of pushes that nobody holds and nobody was told of lately, in turns over the destinations.

    Those under way count: one that hangs, and has a thousand more due for longer, is behind all others. In a
    transaction the rows stay locked until its end, so that two sweepers do not take the same ones.
    """
    rows = conn.execute(
        "with under_way as (select instance_id, count(*) as n from pushes"
        f"  where next_attempt_at is not null and {_UNDER_WAY} group by instance_id),"
        " due as (select id, next_attempt_at, coalesce(n, 0)"
        "  + row_number() over (partition by instance_id order by next_attempt_at, id) as turn"
        "  from pushes left join under_way using (instance_id)"
        f"  where {_DUE} and (nudged_at is null or nudged_at <= now() - make_interval(secs => %s)))"
        " select p.id from pushes p join due using (id)"
        " order by due.turn, due.next_attempt_at, p.id limit %s for update of p skip locked",
        (renudge_s, limit),
    ).fetchall()
    return [row["id"] for row in rows]


def mark_nudged(conn: Connection, push_ids: Sequence[int]) -> None:
    """Remember that workers were told of these."""
    conn.execute("update pushes set nudged_at = now() where id = any(%s)", (list(push_ids),))


def forget_nudge(conn: Connection, push_ids: Sequence[int]) -> None:
    """Take `mark_nudged` back: the hints could not be sent."""
    conn.execute("update pushes set nudged_at = null where id = any(%s)", (list(push_ids),))


def next_due_at(conn: Connection, *, after: datetime, renudge_s: float = RENUDGE_S) -> datetime | None:
    """When `find_due` will have something that was not due at `after`; None: nothing more."""
    row = conn.execute(
        "select min(at) as at from (select greatest(next_attempt_at, lease_expires_at,"
        "  nudged_at + make_interval(secs => %s)) as at from pushes where next_attempt_at is not null) as times"
        " where at > %s",
        (renudge_s, after),
    ).fetchone()
    return row["at"] if row else None


def held_count(conn: Connection) -> int:
    """Pushes under a live lease."""
    row = conn.execute(
        f"select count(*) as n from pushes where next_attempt_at is not null and {_UNDER_WAY}"
    ).fetchone()
    return int(row["n"]) if row else 0


class Backlog(NamedTuple):
    """What an operator watches. `counts`: pushes on record by state. What only tidies up is not due."""

    counts: dict[str, int]
    due_count: int


def backlog(conn: Connection) -> Backlog:
    """Of whatever tenant."""
    rows = conn.execute("select state, count(*)::int as n from pushes group by state").fetchall()
    due = conn.execute(f"select count(*)::int as n from pushes where {_DUE} and finished_at is null").fetchone()
    assert due is not None
    return Backlog({row["state"]: row["n"] for row in rows}, due["n"])


def untaken_count(conn: Connection, *, older_than_s: float) -> int:
    """Pushes that are due for so long while none at all is under way: as where no worker takes any."""
    row = conn.execute(
        f"select count(*) as n from pushes where {_DUE} and next_attempt_at < now() - make_interval(secs => %s)"
        f" and not exists (select 1 from pushes where next_attempt_at is not null and {_UNDER_WAY})",
        (older_than_s,),
    ).fetchone()
    return int(row["n"]) if row else 0


def claim(conn: Connection, push_id: int, worker_id: int | None, *, nonce: str, lease_s: float) -> Claimed | None:
    """Take a due push; None where it is not due or somebody holds it.

    Needs a transaction: the claim and the account of what its attempt may leave behind stand together.
    """
    row = conn.execute(
        "update pushes set claim = claim + 1, worker_id = %s, nudged_at = null,"
        " lease_expires_at = clock_timestamp() + make_interval(secs => %s)"
        f" where id = %s and {_DUE}"
        " returning id, claim, job_id, run_number, organisation_id, instance_id, path, state, attempt_count,"
        " claim - 1 - ended_count as lost_count, case when state = 'PENDING' then give_up_at"
        " else finished_at + make_interval(secs => %s) end <= now() as is_late",
        (worker_id, lease_s, push_id, TIDY_FOR_S),
    ).fetchone()
    if row is None:
        return None
    if row["state"] == PushState.PENDING:
        conn.execute(
            "insert into push_remains (push_id, claim, nonce) values (%s, %s, %s)", (push_id, row["claim"], nonce)
        )
    return Claimed(**{**row, "state": PushState(row["state"])})


def let_go(conn: Connection, claimed: Claimed, worker_id: int | None, *, nonce: str) -> None:
    """Undo a claim of which nobody knows whether it stands, unless the one of its number is another attempt's."""
    conn.execute(
        "update pushes set lease_expires_at = null, worker_id = null, ended_count = ended_count + 1"
        " where id = %s and claim = %s and lease_expires_at is not null and worker_id is not distinct from %s"
        " and (state <> 'PENDING' or exists (select 1 from push_remains"
        "  where push_id = pushes.id and push_remains.claim = pushes.claim and nonce = %s))",
        (claimed.id, claimed.claim, worker_id, nonce),
    )


def find_remains(conn: Connection, claimed: Claimed) -> list[Remains]:
    """What attempts before this one may have left, oldest first."""
    rows = conn.execute(
        "select claim, nonce, notes from push_remains where push_id = %s and (claim < %s or %s) order by claim",
        (claimed.id, claimed.claim, claimed.state is not PushState.PENDING),
    ).fetchall()
    return [Remains(row["claim"], row["nonce"], tuple(row["notes"])) for row in rows]


def forget_remains(conn: Connection, push_id: int, claim_number: int) -> None:
    """Nothing of that attempt is left."""
    conn.execute("delete from push_remains where push_id = %s and claim = %s", (push_id, claim_number))


def note(conn: Connection, claimed: Claimed, text: str) -> None:
    """Remember what the other side calls an unfinished object of this attempt.

    Raises LostClaimError where somebody has removed what the attempt left: nobody would look for more.
    """
    kept = conn.execute(
        "update push_remains set notes = notes || %s where push_id = %s and claim = %s",
        ([text], claimed.id, claimed.claim),
    ).rowcount
    if not kept:
        raise LostClaimError(f"The push of job {claimed.job_id} is no longer ours.")


def renew(conn: Connection, claimed: Claimed, *, lease_s: float, sent_bytes: int) -> None:
    """Keep the claim, since there is progress. Raises LostClaimError when somebody else has it or the job was ended.

    Needs a transaction, as all that locks a job and its push, in this order.
    """
    _lock_job(conn, claimed)
    kept = conn.execute(
        "update pushes set lease_expires_at = clock_timestamp() + make_interval(secs => %s)"
        " where id = %s and claim = %s and state = 'PENDING' and lease_expires_at is not null",
        (lease_s, claimed.id, claimed.claim),
    ).rowcount
    if not kept:
        raise LostClaimError(f"The push of job {claimed.job_id} is no longer ours.")
    conn.execute(
        "update jobs set push = push || jsonb_build_object('bytes', %s::bigint) where id = %s and run_number = %s",
        (sent_bytes, claimed.job_id, claimed.run_number),
    )


def is_newest(conn: Connection, claimed: Claimed, job_number: int) -> bool:
    """Whether no newer run has this path; then this one is the newest from now on."""
    return bool(
        conn.execute(
            "insert into push_targets (instance_id, path, job_number, run_number) values (%s, %s, %s, %s)"
            " on conflict (instance_id, path) do update set job_number = excluded.job_number,"
            " run_number = excluded.run_number"
            " where (push_targets.job_number, push_targets.run_number) <= (excluded.job_number, excluded.run_number)",
            (claimed.instance_id, claimed.path, job_number, claimed.run_number),
        ).rowcount
    )


@contextmanager
def publishing(db: Database, claimed: Claimed) -> Iterator[Connection | None]:
    """Inside, nobody else publishes at this path; None where somebody does now. Raises DatabaseUnavailableError.

    By an advisory lock of a connection of its own: it may last for minutes, and a transaction must not.
    """
    place = f"{claimed.instance_id}:{claimed.path}"
    conn = db.dedicated()
    try:
        with db.guard():
            row = conn.execute("select pg_try_advisory_lock(hashtextextended(%s, 1)) as ours", (place,)).fetchone()
        yield conn if row and row["ours"] else None
    finally:
        conn.close()


def retry(conn: Connection, claimed: Claimed, *, wait_s: float, error: str, is_failure: bool = True) -> None:
    """Let go until later. Does nothing where the claim is lost. Needs a transaction."""
    _lock_job(conn, claimed)
    row = conn.execute(
        "update pushes set lease_expires_at = null, worker_id = null, attempt_count = attempt_count + %s,"
        " ended_count = ended_count + 1, next_attempt_at = now() + make_interval(secs => %s)"
        " where id = %s and claim = %s and lease_expires_at is not null returning attempt_count, next_attempt_at",
        (int(is_failure), wait_s, claimed.id, claimed.claim),
    ).fetchone()
    if row is not None and claimed.state is PushState.PENDING:
        _tell(conn, claimed.job_id, attempts=row["attempt_count"], error=error)


def is_held(conn: Connection, claimed: Claimed) -> bool:
    """Lock the push and say whether the claim still stands."""
    row = conn.execute(
        "select 1 from pushes where id = %s and claim = %s and state = 'PENDING' and lease_expires_at is not null"
        " for update",
        (claimed.id, claimed.claim),
    ).fetchone()
    return row is not None


def end(conn: Connection, job_id: int, run_number: int, state: PushState, **told: Any) -> None:
    """The push has come to this, whoever holds it; it stays due while something may be left of its attempts."""
    conn.execute(
        "update pushes set state = %s, claim = claim + 1, worker_id = null, nudged_at = null, finished_at = now(),"
        " lease_expires_at = null, next_attempt_at = (select now() from push_remains where push_id = pushes.id limit 1)"
        " where job_id = %s and run_number = %s",
        (state.value, job_id, run_number),
    )
    _tell(conn, job_id, state=state.value, **told)


def tidied(conn: Connection, claimed: Claimed) -> None:
    """Nothing is left of a push that has ended."""
    conn.execute(
        "update pushes set lease_expires_at = null, worker_id = null, next_attempt_at = null"
        " where id = %s and claim = %s",
        (claimed.id, claimed.claim),
    )


def _lock_job(conn: Connection, claimed: Claimed) -> None:
    conn.execute("select 1 from jobs where id = %s for update", (claimed.job_id,))


def _tell(conn: Connection, job_id: int, **told: Any) -> None:
    conn.execute("update jobs set push = coalesce(push, '{}') || %s where id = %s", (as_json(told), job_id))
