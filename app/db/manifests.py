"""Statements on the digests in tables segments and runs: SHA-256 of what was asked for in a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.db.pool import Connection, as_json


def find_digests(conn: Connection, object_keys: Sequence[str]) -> dict[str, bytes]:
    """Of those segments that have one."""
    rows = conn.execute(
        "select object_key, sha256 from segments where object_key = any(%s) and sha256 is not null",
        (list(object_keys),),
    ).fetchall()
    return {row["object_key"]: row["sha256"] for row in rows}


def find_whole(conn: Connection, job_id: int, revision: int) -> bytes | None:
    """Of all plain bytes of that revision."""
    row = conn.execute("select sha256 from runs where job_id = %s and number = %s", (job_id, revision)).fetchone()
    return None if row is None else row["sha256"]


def is_segment_kept(conn: Connection, object_key: str) -> bool:
    """Whether there is a row that its digest could stand in."""
    return conn.execute("select 1 from segments where object_key = %s", (object_key,)).fetchone() is not None


def is_run_kept(conn: Connection, job_id: int, revision: int) -> bool:
    """The same of the whole."""
    found = conn.execute("select 1 from runs where job_id = %s and number = %s", (job_id, revision))
    return found.fetchone() is not None


def claim(conn: Connection, job_id: int, revision: int, *, lease_s: float) -> bool:
    """Whether the caller may compute them now: nobody else does, or has given no sign of life for too long."""
    claimed = conn.execute(
        "update runs set digest_until = now() + make_interval(secs => %s)"
        " where job_id = %s and number = %s and sha256 is null and coalesce(digest_until, now()) <= now()",
        (lease_s, job_id, revision),
    )
    return claimed.rowcount == 1


def save(conn: Connection, job_id: int, revision: int, digests: Mapping[str, bytes], *, lease_s: float) -> None:
    """Keep digests by object key; whoever stores them is still at it."""
    found = [{"object_key": key, "sha256": digest.hex()} for key, digest in digests.items()]
    conn.execute(
        "with alive as (update runs set digest_until = now() + make_interval(secs => %s)"
        " where job_id = %s and number = %s)"
        " update segments set sha256 = decode(found.sha256, 'hex')"
        " from jsonb_to_recordset(%s) as found (object_key text, sha256 text)"
        " where segments.object_key = found.object_key",
        (lease_s, job_id, revision, as_json(found)),
    )


def finish(conn: Connection, job_id: int, revision: int, whole: bytes | None) -> None:
    """Let go, with the digest of the whole if it was reached."""
    conn.execute(
        "update runs set sha256 = coalesce(%s, sha256), digest_until = null where job_id = %s and number = %s",
        (whole, job_id, revision),
    )
