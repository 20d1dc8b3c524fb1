"""What is due of jobs that have ended: files kept long enough, objects without a row, rows of long ago."""

from __future__ import annotations

from datetime import datetime

from app.db.pool import Connection


def find_orphan_sweeps(conn: Connection, limit: int) -> list[tuple[int, datetime]]:
    """Jobs whose objects are due for a look, with the time that made them so."""
    rows = conn.execute(
        "select id, sweep_orphans_at from jobs where sweep_orphans_at <= now() order by sweep_orphans_at limit %s"
        " for update skip locked",
        (limit,),
    ).fetchall()
    return [(row["id"], row["sweep_orphans_at"]) for row in rows]


def finish_orphan_sweep(conn: Connection, job_id: int, due_at: datetime) -> None:
    """The look that was due then is done; one that was asked for meanwhile is not."""
    conn.execute("update jobs set sweep_orphans_at = null where id = %s and sweep_orphans_at = %s", (job_id, due_at))


def find_expired(conn: Connection, limit: int) -> list[int]:
    """Ended jobs whose files have been kept long enough."""
    rows = conn.execute(
        "select id from jobs where files_expire_at <= now() and status in ('COMPLETED', 'ABORTED', 'CANCELLED')"
        " order by files_expire_at limit %s for update skip locked",
        (limit,),
    ).fetchall()
    return [row["id"] for row in rows]
