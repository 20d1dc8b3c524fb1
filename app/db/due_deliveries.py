"""Which owed callbacks may be sent now: what a sweeper asks.

Whatever the backlog of one host, no more of it is looked at than it may be sent: a dead receiver with thousands of due
callbacks costs as little as any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.db.pool import Connection
from app.db.receivers import SLOTS
from app.domain.receivers import DEFAULT, Limits

RENUDGE_S = 30.0
"""A hint that nobody acted upon is sent again after this time: it is lost, or the queue is long."""

_FREE = "coalesce(lease_expires_at <= now(), true)"
_FRESH = "nudged_at > now() - make_interval(secs => %(renudge)s)"

# `hosts` steps from host to host along the index. `standing`: kind 0 is sound, 1 unknown, 2 failing; `taken` are those
# under way or hinted at. Organisations take turns, and within one its hosts. Of what is not sound no more is taken than
# may be under way, see app.db.receivers.
_RANKED = f"""
with recursive hosts as (
  (select organisation_id, host from deliveries where next_attempt_at is not null
   order by organisation_id, host limit 1)
  union all
  select following.* from hosts cross join lateral (
    select organisation_id, host from deliveries where next_attempt_at is not null
      and (organisation_id, host) > (hosts.organisation_id, hosts.host)
    order by organisation_id, host limit 1) as following
), busy as (
  select organisation_id, host, count(*) as n from deliveries
  where next_attempt_at is not null and (lease_expires_at is not null or nudged_at is not null)
    and (lease_expires_at > now() or ({_FREE} and {_FRESH}))
  group by organisation_id, host
), standing as (
  select organisation_id, host, coalesce(busy.n, 0) as taken,
    case when failure_count > 0 then 2 when answered_at is null then 1 else 0 end as kind,
    coalesce(paused_until > now(), false) as is_paused
  from hosts left join receivers using (organisation_id, host) left join busy using (organisation_id, host)
), room as (
  select *, case when is_paused then 0 when kind = 0 then %(host_calls)s else 1 end - taken as n from standing
), due as (
  select mine.*, room.organisation_id, room.kind from room cross join lateral (
    select id, next_attempt_at, row_number() over (order by next_attempt_at, id) as host_turn from (
      select id, next_attempt_at from deliveries
      where deliveries.organisation_id = room.organisation_id and deliveries.host = room.host
        and next_attempt_at <= now() and {_FREE} and ({_FRESH}) is not true
      order by next_attempt_at, id limit greatest(room.n, 0)) as next) as mine
), turns as (
  select *, row_number() over (partition by organisation_id order by host_turn, kind, next_attempt_at, id) as turn
  from due
), counted as (
  select *, count(*) filter (where kind = 1) over before as unknown,
    count(*) filter (where kind = 2) over before as failing
  from turns window before as (order by turn, kind, next_attempt_at, id)
), slots as (
  select {SLOTS} as n
), caps as (
  select greatest(1, slots.n / 2) - coalesce(sum(taken) filter (where kind > 0), 0) as unsound,
    greatest(1, slots.n / 4) - coalesce(sum(taken) filter (where kind = 2), 0) as failing
  from slots left join standing on true group by slots.n
), ranked as (
  select id, turn, kind, next_attempt_at from counted cross join caps
  where kind = 0
    or (kind = 1 and unknown + least(counted.failing, greatest(caps.failing, 0)) <= caps.unsound)
    or (kind = 2 and counted.failing <= caps.failing and unknown + counted.failing <= caps.unsound)
)
"""


def find_due(conn: Connection, limit: int, *, renudge_s: float = RENUDGE_S, limits: Limits = DEFAULT) -> list[int]:
    """Ids of deliveries that may be sent now and nobody was told of lately, in turns over organisations and hosts.

    In a transaction the rows stay locked until its end, so that two sweepers do not take the same ones.
    """
    rows = conn.execute(
        f"{_RANKED} select d.id from deliveries d join ranked using (id)"
        " order by ranked.turn, ranked.kind, ranked.next_attempt_at, d.id limit %(limit)s for update of d skip locked",
        _values(renudge_s, limits) | {"limit": limit},
    ).fetchall()
    return [row["id"] for row in rows]


def next_due_at(conn: Connection, *, renudge_s: float = RENUDGE_S, limits: Limits = DEFAULT) -> datetime | None:
    """When `find_due` will have something (now: it has); None when nothing is owed.

    What waits until another attempt at its host has ended is not counted: that end wakes the sweepers.
    """
    row = conn.execute(
        f"{_RANKED} select case when exists (select 1 from ranked) then now() else least("
        " (select min(next_attempt_at) from deliveries where next_attempt_at > now()),"
        " (select min(greatest(lease_expires_at, nudged_at + make_interval(secs => %(renudge)s))) from deliveries"
        "   where next_attempt_at is not null and (lease_expires_at > now() or ({_FRESH}))),"
        " (select min(paused_until) from receivers r where paused_until > now() and exists (select 1 from deliveries d"
        "   where d.organisation_id = r.organisation_id and d.host = r.host and next_attempt_at <= now()))"
        ") end as at".replace("{_FRESH}", _FRESH),
        _values(renudge_s, limits),
    ).fetchone()
    return row["at"] if row else None


def mark_nudged(conn: Connection, delivery_ids: Sequence[int]) -> None:
    """Remember that workers were told of these."""
    conn.execute("update deliveries set nudged_at = now() where id = any(%s)", (list(delivery_ids),))


def forget_nudge(conn: Connection, delivery_ids: Sequence[int]) -> None:
    """Take `mark_nudged` back: the hints could not be sent."""
    conn.execute("update deliveries set nudged_at = null where id = any(%s)", (list(delivery_ids),))


def _values(renudge_s: float, limits: Limits) -> dict[str, float]:
    return {"renudge": renudge_s, "host_calls": limits.host_calls}
