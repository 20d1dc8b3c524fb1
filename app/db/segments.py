"""Statements on table segments: an object counts only if its row stands here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.db.pool import Connection, Row, as_json
from app.domain.segments import FlushPoint, Segment

_COLUMNS = "object_key, encoding, record_count, plain_bytes, stored_bytes, crc32, flush_points, columns"


def find_result(conn: Connection, job_id: int, revision: int) -> list[Segment]:
    """The segments that make up revision `revision` of the result, in order."""
    rows = conn.execute(
        f"select {_COLUMNS} from segments"
        " where job_id = %s and run_number <= %s order by run_number, slice_number, sequence",
        (job_id, revision),
    ).fetchall()
    return [_from_row(row) for row in rows]


@dataclass(frozen=True, order=True)
class Place:
    """Where a segment stands in the order of a result."""

    run_number: int
    slice_number: int
    sequence: int


def find_from(
    conn: Connection, job_id: int, revision: int, place: Place, record_count: int
) -> list[tuple[Place, Segment]]:
    """As many segments of that revision, from `place` on, as hold the next `record_count` records.

    It costs the same wherever in the result it begins: every segment has a record, so there are never more of them.
    """
    rows = conn.execute(
        f"select * from (select run_number, slice_number, sequence, {_COLUMNS},"
        " sum(record_count) over (order by run_number, slice_number, sequence) - record_count as records_before"
        " from (select * from segments where job_id = %s and run_number <= %s"
        " and (run_number, slice_number, sequence) >= (%s, %s, %s)"
        " order by run_number, slice_number, sequence limit %s) as near) as placed"
        " where records_before < %s order by run_number, slice_number, sequence",
        (job_id, revision, place.run_number, place.slice_number, place.sequence, record_count, record_count),
    ).fetchall()
    return [(Place(row["run_number"], row["slice_number"], row["sequence"]), _from_row(row)) for row in rows]


def count_records(conn: Connection, job_id: int, revision: int) -> int:
    """Records of that revision."""
    row = conn.execute(
        "select coalesce(sum(record_count), 0)::bigint as n from runs where job_id = %s and number <= %s",
        (job_id, revision),
    ).fetchone()
    return 0 if row is None else int(row["n"])


def set_columns(conn: Connection, scanned: Sequence[Segment]) -> None:
    """Store CSV columns that were found after the fact; the same ones whoever finds them."""
    found = [{"object_key": each.object_key, "columns": list(each.columns)} for each in scanned if each.columns]
    conn.execute(
        "update segments set columns = found.columns"
        " from jsonb_to_recordset(%s) as found (object_key text, columns text[])"
        " where segments.object_key = found.object_key",
        (as_json(found),),
    )


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
    return Segment(
        object_key=row["object_key"],
        encoding=row["encoding"],
        record_count=row["record_count"],
        plain_bytes=row["plain_bytes"],
        stored_bytes=row["stored_bytes"],
        crc32=row["crc32"],
        flush_points=points,
        columns=tuple(row["columns"]),
    )
