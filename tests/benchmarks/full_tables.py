"""A million jobs in the tables, put there without running them."""

import psycopg

from app.domain.ids import scatter

_JOBS = """
copy jobs (id, organisation_id, instance_id, connector_id, connector_revision_id, object_name, file_format, criteria,
  status, stop_reason, revision, record_count, page_count, call_count, created_at, started_at, finished_at)
from stdin
"""
_RUNS = """
insert into runs (job_id, number, status, record_count, finished_at)
select id, 1, case when finished_at is not null then status end, record_count, finished_at from jobs
where not exists (select 1 from runs where runs.job_id = jobs.id)
"""
_SLICES = """
insert into slices (job_id, run_number, organisation_id, instance_id, page_size, exhausted, sequence, next_run_at)
select id, 1, organisation_id, instance_id, 200, finished_at is not null, (record_count > 0)::int,
  case when finished_at is null then created_at end from jobs
where not exists (select 1 from slices where slices.job_id = jobs.id)
"""
_SEGMENTS = """
insert into segments (job_id, run_number, slice_number, sequence, claim, object_key, encoding, record_count,
  plain_bytes, stored_bytes, crc32)
select id, 1, 1, 0, 1, 'jobs/' || id, 'deflate', record_count, record_count * 537, record_count * 90, 0 from jobs
where record_count > 0 and not exists (select 1 from segments where segments.job_id = jobs.id)
"""


def fill(url: str, *, id_key: str, count: int, due_count: int) -> list[int]:
    """Bring `jobs` to `count` rows over all instances, `due_count` of them waiting. Returns ids that were added."""
    with psycopg.connect(url, autocommit=True) as connection:
        owners = connection.execute(
            "select i.organisation_id, i.id, i.connector_id, r.id from instances i"
            " join connector_revisions r on r.connector_id = i.connector_id order by i.id"
        ).fetchall()
        row = connection.execute("select (select count(*) from jobs), last_value from job_numbers").fetchone()
        assert row is not None
        present, last = row
        ids = [scatter(id_key, "job", last + 1 + number) for number in range(count - present)]
        # Without the check of every reference, which takes minutes.
        connection.execute("set session_replication_role = replica")
        with connection.cursor() as cursor, cursor.copy(_JOBS.encode()) as copy:
            for number, job_id in enumerate(ids):
                copy.write_row(_job(job_id, number, owners[number % len(owners)], is_due=number < due_count))
        connection.execute("select setval('job_numbers', %s)", (last + len(ids) + 1,))
        # Between them the planner must learn that the table is not small any more.
        for statement in ("analyze jobs", _RUNS, _SLICES, _SEGMENTS, "vacuum (analyze)"):
            connection.execute(statement.encode())
    return ids


def _job(job_id: int, number: int, owner: tuple[int, ...], *, is_due: bool) -> tuple[object, ...]:
    criteria = '{"objectName": "records", "format": "application/jsonl", "pageSize": 200}'
    at = f"2026-01-{number % 28 + 1:02d} 00:00:00+00"
    what = (job_id, *owner, "records", "application/jsonl", criteria)
    if is_due:
        return (*what, "CREATED", None, 0, 0, 0, 0, at, None, None)
    return (*what, "COMPLETED", "EXHAUSTED", 1, number % 5000 + 1, 25, 25, at, at, at)
