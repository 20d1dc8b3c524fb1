"""Statements on table intakes: files that are being received, so that none is left behind unknown."""

from __future__ import annotations

from app.db.pool import Connection


def insert(conn: Connection, organisation_id: int, object_key: str) -> None:
    """Note an object that is about to be written."""
    conn.execute("insert into intakes (organisation_id, object_key) values (%s, %s)", (organisation_id, object_key))


def remove(conn: Connection, object_key: str) -> bool:
    """Forget it: a job has taken the object over, or the object is gone. False if it was forgotten before."""
    return conn.execute("delete from intakes where object_key = %s", (object_key,)).rowcount == 1


def find_stale(conn: Connection, *, older_than_s: float, limit: int) -> list[str]:
    """Keys of objects that nobody can be receiving any more."""
    rows = conn.execute(
        "select object_key from intakes where created_at < now() - make_interval(secs => %s)"
        " order by created_at limit %s",
        (older_than_s, limit),
    ).fetchall()
    return [row["object_key"] for row in rows]
