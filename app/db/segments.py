"""Statements on table segments: an object counts only if its row stands here."""

from __future__ import annotations

from app.db.pool import Connection, Row
from app.domain.segments import FlushPoint, Segment


def find_result(conn: Connection, job_id: int, revision: int) -> list[Segment]:
    """The segments that make up revision `revision` of the result, in order."""
    rows = conn.execute(
        "select object_key, encoding, record_count, plain_bytes, stored_bytes, crc32, flush_points,"
        " columns from segments"
        " where job_id = %s and run_number <= %s order by run_number, slice_number, sequence",
        (job_id, revision),
    ).fetchall()
    return [_from_row(row) for row in rows]


def find_columns(conn: Connection, job_id: int) -> list[str]:
    """Every column name that the job's segments have recorded, in order of first appearance."""
    rows = conn.execute(
        "select columns from segments where job_id = %s and columns <> '{}'"
        " order by run_number, slice_number, sequence",
        (job_id,),
    ).fetchall()
    return list(dict.fromkeys(name for row in rows for name in row["columns"]))


def find_keys(conn: Connection, job_id: int) -> set[str]:
    """Object keys that count."""
    rows = conn.execute("select object_key from segments where job_id = %s", (job_id,)).fetchall()
    return {row["object_key"] for row in rows}


def find_existing(conn: Connection, object_keys: list[str]) -> set[str]:
    """Those of the given keys that count."""
    rows = conn.execute("select object_key from segments where object_key = any(%s)", (object_keys,)).fetchall()
    return {row["object_key"] for row in rows}


def find_claims(conn: Connection, job_id: int) -> dict[tuple[int, int], int]:
    """(run, slice) -> the claim that may be writing objects now; absent where nobody may."""
    rows = conn.execute(
        "select run_number, number, claim from slices where job_id = %s and lease_expires_at is not null", (job_id,)
    ).fetchall()
    return {(row["run_number"], row["number"]): row["claim"] for row in rows}


def delete_of_job(conn: Connection, job_id: int) -> int:
    """Drop the rows of a job whose files are deleted. Returns how many."""
    return conn.execute("delete from segments where job_id = %s", (job_id,)).rowcount


def _from_row(row: Row) -> Segment:
    points = tuple(FlushPoint(*point) for point in row["flush_points"])
    values = {name: row[name] for name in row if name not in {"flush_points", "columns"}}
    return Segment(**values, flush_points=points, columns=tuple(row["columns"]))
