"""Deliveries and their attempts as their tenant may see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from app.db.pool import Connection, Row
from app.domain.deliveries import DeliveryStatus


@dataclass(frozen=True)
class Attempt:
    """One POST. `error` is None for a success."""

    number: int
    started_at: datetime
    duration_ms: int
    http_status: int | None
    error: str | None


@dataclass(frozen=True)
class ListedDelivery:
    """A callback and what became of it. `url` may carry secrets: see app.domain.callback_documents."""

    number: int
    """In the order of creation; not for the wire, since it tells volume."""
    event_id: str
    job_id: int
    run_number: int
    instance_id: int
    status: DeliveryStatus
    url: str = field(repr=False)
    host: str
    created_at: datetime
    finished_at: datetime | None
    next_attempt_at: datetime | None
    is_under_way: bool
    resend_count: int
    error: str | None
    """Of the last attempt, or why there is none any more; None for a success."""
    paused_until: datetime | None
    """Nobody asks the receiver before; None unless it matters to this delivery."""
    receiver_failure_count: int
    attempts: list[Attempt] = field(default_factory=list)


@dataclass(frozen=True)
class DeliveryFilter:
    """What a listing may be narrowed by; None means any. `host` with or without its port; times are of creation."""

    status: DeliveryStatus | None = None
    host: str | None = None
    job_id: int | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None

    def values(self) -> dict[str, object]:
        """The parameters of `NARROWED`."""
        return {
            "status": None if self.status is None else self.status.value,
            "host": None if self.host is None else self.host.lower(),
            "job": self.job_id,
            "from": self.created_from,
            "to": self.created_to,
        }


NARROWED = (
    "d.organisation_id = %(organisation)s and d.instance_id = %(instance)s"
    " and (%(status)s::text is null or d.status = %(status)s)"
    " and (%(job)s::bigint is null or d.job_id = %(job)s)"
    " and (%(host)s::text is null or %(host)s in (d.host, regexp_replace(d.host, ':[0-9]+$', '')))"
    " and (%(from)s::timestamptz is null or d.created_at >= %(from)s)"
    " and (%(to)s::timestamptz is null or d.created_at <= %(to)s)"
)
"""Of which deliveries, as a condition on `deliveries d`."""

_SELECT = """
select d.id as number, d.event_id, d.job_id, d.run_number, d.instance_id, d.status, d.url, d.host, d.created_at,
  d.finished_at, d.next_attempt_at, coalesce(d.lease_expires_at > now(), false) as is_under_way, d.resend_count,
  d.error,
  case when d.next_attempt_at < r.paused_until and r.paused_until > now() then r.paused_until end as paused_until,
  coalesce(r.failure_count, 0) as receiver_failure_count
from deliveries d left join receivers r using (organisation_id, host)
"""


def find_page(
    conn: Connection, organisation_id: int, instance_id: int, before: int | None, size: int, narrow: DeliveryFilter
) -> list[ListedDelivery]:
    """Deliveries of this tenant's instance, newest first, that come after number `before` (None: from the newest)."""
    rows = conn.execute(
        f"{_SELECT} where {NARROWED} and (%(before)s::bigint is null or d.id < %(before)s)"
        " order by d.id desc limit %(size)s",
        {
            "organisation": organisation_id,
            "instance": instance_id,
            "before": before,
            "size": size,
            **narrow.values(),
        },
    ).fetchall()
    attempts = _attempts(conn, [row["number"] for row in rows])
    return [_read(row, attempts.get(row["number"], [])) for row in rows]


def find_one(conn: Connection, organisation_id: int, instance_id: int, event_id: str) -> ListedDelivery | None:
    """The delivery of this event; None where this tenant's instance has none."""
    row = conn.execute(
        f"{_SELECT} where d.organisation_id = %s and d.instance_id = %s and d.event_id = %s",
        (organisation_id, instance_id, event_id),
    ).fetchone()
    if row is None:
        return None
    return _read(row, _attempts(conn, [row["number"]]).get(row["number"], []))


def _attempts(conn: Connection, numbers: list[int]) -> dict[int, list[Attempt]]:
    rows = conn.execute(
        "select delivery_id, number, started_at, duration_ms, http_status, error from delivery_attempts"
        " where delivery_id = any(%s) order by delivery_id, number",
        (numbers,),
    ).fetchall()
    found: dict[int, list[Attempt]] = {}
    for row in rows:
        found.setdefault(row.pop("delivery_id"), []).append(Attempt(**row))
    return found


def _read(row: Row, attempts: list[Attempt]) -> ListedDelivery:
    error = row["error"]
    if error is None and attempts:  # written by a release before the column
        error = attempts[-1].error
    return ListedDelivery(**{**row, "status": DeliveryStatus(row["status"]), "error": error}, attempts=attempts)
