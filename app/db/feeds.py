"""Statements on table feeds: uploads that downloads are to feed. A claim's number fences who copies a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from app.db.pool import Connection, as_json


@dataclass(frozen=True)
class Feed:
    """One row. `options` are those of the upload, as its job shows them."""

    download_job_id: int
    organisation_id: int
    user_id: int | None
    instance_id: int
    options: dict[str, Any]
    claim: int


_MINE = "download_job_id = %(job)s and claim = %(claim)s and not is_over"


def insert(
    conn: Connection,
    download_job_id: int,
    *,
    organisation_id: int,
    user_id: int | None,
    instance_id: int,
    options: dict[str, Any],
) -> None:
    """Owe an upload, in the transaction that makes the download."""
    conn.execute(
        "insert into feeds (download_job_id, organisation_id, user_id, instance_id, options)"
        " values (%s, %s, %s, %s, %s)",
        (download_job_id, organisation_id, user_id, instance_id, as_json(options)),
    )


def find_due(conn: Connection, limit: int) -> list[int]:
    """Downloads that have COMPLETED, whose upload is owed, and whose result nobody copies."""
    rows = conn.execute(
        "select download_job_id from feeds join jobs on jobs.id = download_job_id"
        " where not is_over and next_try_at <= now() and jobs.status = 'COMPLETED' order by next_try_at limit %s",
        (limit,),
    ).fetchall()
    return [row["download_job_id"] for row in rows]


def find_source(conn: Connection, download_job_id: int) -> int | None:
    """The instance of the download; None where the job is forgotten."""
    row = conn.execute("select instance_id from jobs where id = %s", (download_job_id,)).fetchone()
    return None if row is None else int(row["instance_id"])


def claim(conn: Connection, download_job_id: int, *, lease_s: float) -> Feed | None:
    """Be the one who copies, for so long; None where another one is."""
    row = conn.execute(
        "update feeds set claim = claim + 1, next_try_at = now() + make_interval(secs => %s)"
        " where download_job_id = %s and not is_over and next_try_at <= now() returning *",
        (lease_s, download_job_id),
    ).fetchone()
    return None if row is None else Feed(**{spec.name: row[spec.name] for spec in fields(Feed)})


def renew(conn: Connection, feed: Feed, *, lease_s: float) -> bool:
    """Hold it for longer; False where another one has it now."""
    done = conn.execute(
        f"update feeds set next_try_at = now() + make_interval(secs => %(lease)s) where {_MINE}",
        {"lease": lease_s, "job": feed.download_job_id, "claim": feed.claim},
    )
    return done.rowcount == 1


def finish(conn: Connection, feed: Feed, *, upload_job_id: int | None, note: str | None = None) -> bool:
    """Nothing is owed any more; False where another one has it now."""
    done = conn.execute(
        f"update feeds set is_over = true, upload_job_id = %(upload)s, note = %(note)s where {_MINE}",
        {"upload": upload_job_id, "note": note, "job": feed.download_job_id, "claim": feed.claim},
    )
    return done.rowcount == 1


def put_off(conn: Connection, feed: Feed, *, in_s: float, note: str) -> None:
    """Try again later, and say why not now."""
    conn.execute(
        f"update feeds set next_try_at = now() + make_interval(secs => %(in)s), note = %(note)s where {_MINE}",
        {"in": in_s, "note": note, "job": feed.download_job_id, "claim": feed.claim},
    )


@dataclass(frozen=True)
class Links:
    """What else belongs to a download."""

    schedule_name: str | None
    """Of the schedule that made it."""
    upload_job_id: int | None
    note: str | None


def find_links(conn: Connection, job_ids: Sequence[int]) -> dict[int, Links]:
    """By job, of those that a schedule made or whose result is given to an upload."""
    rows = conn.execute(
        "select asked.id, schedules.name as schedule_name, feeds.upload_job_id, feeds.note"
        " from unnest(%s::bigint[]) as asked (id) left join schedule_runs on schedule_runs.job_id = asked.id"
        " left join schedules on schedules.id = schedule_runs.schedule_id"
        " left join feeds on feeds.download_job_id = asked.id",
        (list(job_ids),),
    ).fetchall()
    return {row.pop("id"): Links(**row) for row in rows}
