"""Removing rows that are long over, of several tables in one statement."""

from __future__ import annotations

from app.db.pool import Connection

_FORGET = """
with gone as (
  delete from jobs where id in (select id from jobs where files_deleted_at < now() - make_interval(secs => %(age)s)
    and sweep_orphans_at is null and finished_at is not null limit %(limit)s) returning id, number
), targets as (
  delete from push_targets as target using pushes, gone where pushes.job_id = gone.id
    and target.instance_id = pushes.instance_id and target.path = pushes.path and target.job_number = gone.number
), ended as (
  select distinct chain_id from chain_marks where job_id in (select id from gone) and not exists (
    select 1 from chain_marks other where other.chain_id = chain_marks.chain_id
      and other.job_id not in (select id from gone))
), forgotten as (
  delete from chain_versions where chain_id in (select chain_id from ended)
)
select count(*)::int as n from gone
"""


def forget_jobs(conn: Connection, *, older_than_s: float, limit: int) -> int:
    """Delete rows of jobs whose files went long ago. Returns how many jobs.

    What their chains remember, and the paths of their pushes, go with them.
    """
    row = conn.execute(_FORGET, {"age": older_than_s, "limit": limit}).fetchone()
    assert row is not None
    return int(row["n"])
