"""Statements on table receivers: which host of an organisation's callbacks answers, and who may ask it now.

Locks are taken in one order: delivery, receiver, then the lock of all that are not sound. A slot is a callback that a
living worker process can send.
"""

from __future__ import annotations

from app.db.pool import Connection, Row
from app.domain.receivers import Limits

_UNSOUND_LOCK = 0x48575243  # any constant of ours
_UNTOLD_SLOTS = 8
"""What is reckoned with where only processes of an older release live, which tell of none."""

SLOTS = (
    f"(select coalesce(nullif(sum(callback_slots), 0), {_UNTOLD_SLOTS})::int from workers"
    " where stopped_at is null and seen_at > now() - interval '30 s')"
)
"""Callbacks that can be under way at once, as an SQL expression."""


def admit(conn: Connection, organisation_id: int, host: str, limits: Limits) -> bool:
    """Whether one more attempt may begin at this host. Needs the transaction that claims it, and locks the host."""
    found = _lock(conn, organisation_id, host)
    if found["is_paused"]:
        return False
    is_sound = bool(found["failure_count"] == 0 and found["has_answered"])
    if _under_way(conn, organisation_id, host) >= (limits.host_calls if is_sound else 1):
        return False
    return is_sound or _has_room(conn, limits, is_failing=found["failure_count"] > 0)


def note_answer(conn: Connection, organisation_id: int, host: str) -> bool:
    """It answered: whatever was put off is due again. False where it was sound before."""
    cursor = conn.execute(
        "update receivers set failure_count = 0, last_error = null, paused_until = null, pause_s = null,"
        " answered_at = coalesce(answered_at, now())"
        " where organisation_id = %s and host = %s and (failure_count > 0 or answered_at is null)",
        (organisation_id, host),
    )
    return cursor.rowcount == 1


def note_failure(conn: Connection, organisation_id: int, host: str, error: str | None, limits: Limits) -> None:
    """It did not answer. Attempts that were under way when a pause began do not make it longer."""
    conn.execute(
        "update receivers set failure_count = failure_count + 1, last_error = %(error)s,"
        " (pause_s, paused_until) = (select length, now() + make_interval(secs => length) from (select case"
        "   when failure_count + 1 < %(break_after)s then null"
        "   else least(coalesce(pause_s * 2, %(first)s), %(cap)s)::float8 end as length) as next)"
        " where organisation_id = %(organisation)s and host = %(host)s and coalesce(paused_until <= now(), true)",
        {
            "organisation": organisation_id,
            "host": host,
            "error": error,
            "break_after": limits.break_after,
            "first": limits.pause_s,
            "cap": limits.pause_cap_s,
        },
    )


def end_pauses(conn: Connection, organisation_id: int, hosts: list[str]) -> None:
    """Somebody asked for these to be tried now: one attempt each, as after any pause."""
    conn.execute(
        "with mine as (select host from receivers where organisation_id = %(organisation)s and host = any(%(hosts)s)"
        " and paused_until > now() order by host for update)"  # in one order, for those who ask at the same time
        " update receivers set paused_until = now() from mine"
        " where organisation_id = %(organisation)s and receivers.host = mine.host",
        {"organisation": organisation_id, "hosts": hosts},
    )


def count_paused(conn: Connection) -> int:
    """Hosts of whatever tenant that nobody asks now, for the operator's gauges."""
    row = conn.execute("select count(*)::int as n from receivers where paused_until > now()").fetchone()
    return int(row["n"]) if row else 0


def _lock(conn: Connection, organisation_id: int, host: str) -> Row:
    query = (
        "select failure_count, answered_at is not null as has_answered,"
        " coalesce(paused_until > now(), false) as is_paused"
        " from receivers where organisation_id = %s and host = %s for update"
    )
    row = conn.execute(query, (organisation_id, host)).fetchone()
    if row is None:
        conn.execute(
            "insert into receivers (organisation_id, host) values (%s, %s) on conflict do nothing",
            (organisation_id, host),
        )
        row = conn.execute(query, (organisation_id, host)).fetchone()
    assert row is not None
    return row


def _under_way(conn: Connection, organisation_id: int, host: str) -> int:
    row = conn.execute(
        "select count(*)::int as n from deliveries where organisation_id = %s and host = %s"
        " and next_attempt_at is not null and lease_expires_at > now()",
        (organisation_id, host),
    ).fetchone()
    return int(row["n"]) if row else 0


def _has_room(conn: Connection, limits: Limits, *, is_failing: bool) -> bool:
    """Whether hosts that are not sound leave enough slots for the others; one asks at a time, so that it stays so."""
    conn.execute("select pg_advisory_xact_lock(%s)", (_UNSOUND_LOCK,))
    row = conn.execute(
        "select count(*)::int as unsound, (count(*) filter (where r.failure_count > 0))::int as failing,"
        f" {SLOTS} as slots from deliveries d left join receivers r using (organisation_id, host)"
        " where d.next_attempt_at is not null and d.lease_expires_at > now()"
        " and (r.failure_count > 0 or r.answered_at is null)"
    ).fetchone()
    assert row is not None
    if row["unsound"] >= limits.cap_of_unsound(row["slots"]):
        return False
    return not is_failing or row["failing"] < limits.cap_of_failing(row["slots"])
