"""Pages of jobs: only of one's own instance, and read without the rest of its history."""

import pytest

from app.api.job_query import parse_where
from app.db import jobs
from app.db.pool import Connection
from tests.fakes.engine import Engine, Tenant

_COPIES = """
insert into jobs (id, organisation_id, instance_id, connector_id, connector_revision_id, object_name, file_format,
  criteria, status)
select jobs.id + copy * 1000000000::bigint, organisation_id, instance_id, connector_id, connector_revision_id,
  object_name, file_format, criteria, status
from jobs, generate_series(1, %s) as copy
"""
_READ = "select seq_tup_read + idx_tup_fetch as count from pg_stat_xact_user_tables where relname = 'jobs'"
_PAGE = 20


def rows_read(conn: Connection) -> int:
    """By this connection so far; an index scan counts a row in the books of the index and in those of the table."""
    row = conn.execute(_READ).fetchone()
    assert row is not None
    return int(row["count"])


@pytest.fixture
def tenants(engine: Engine) -> list[Tenant]:
    """Twenty customers with two hundred jobs each; the planner knows."""
    made = [engine.tenant, *(engine.add_tenant() for _ in range(19))]
    for each in made:
        engine.submit(each)
    engine.execute(_COPIES, 199)
    engine.execute("analyze jobs")
    return made


@pytest.mark.parametrize(
    "where",
    [
        "",
        "object_name = 'records' and job_status = 'CREATED'",
        "job_status = 'CREATED'",
        "status = 'CREATED' and (job_direction = 'DOWNLOAD' or record_count > 5) and not object_name like 'x%'",
        "createdDate >= 2020-01-01",
    ],
)
def test_a_page_reads_no_more_jobs_than_it_has(engine: Engine, tenants: list[Tenant], where: str) -> None:
    owner, narrow = tenants[7], parse_where(where)
    for _ in range(12):  # by then the statement is prepared, and PostgreSQL has settled on a plan
        with engine.plain_db.transaction() as conn:
            before = rows_read(conn)
            found = jobs.find_page(conn, owner.organisation_id, owner.instance_id, None, _PAGE, narrow)
            count = rows_read(conn) - before
        assert len(found) == _PAGE
        assert count <= 2 * _PAGE
        assert {each.instance_id for each in found} == {owner.instance_id}


def test_a_state_that_is_rare_is_found_by_its_index(engine: Engine, tenants: list[Tenant]) -> None:
    owner, narrow = tenants[7], parse_where("job_status = 'ABORTED'")
    engine.execute(
        "update jobs set status = 'ABORTED' where id = (select min(id) from jobs where instance_id = %s)",
        owner.instance_id,
    )
    for _ in range(12):
        with engine.plain_db.transaction() as conn:
            before = rows_read(conn)
            assert len(jobs.find_page(conn, owner.organisation_id, owner.instance_id, None, _PAGE, narrow)) == 1
            assert rows_read(conn) - before <= 4


def test_a_foreign_instance_has_no_jobs(engine: Engine) -> None:
    other = engine.add_tenant()
    engine.submit(other)
    with engine.plain_db.connection() as conn:
        assert jobs.find_page(conn, engine.tenant.organisation_id, other.instance_id, None, _PAGE) == []
        assert jobs.find_page(conn, engine.tenant.organisation_id, None, None, _PAGE) == []
        assert len(jobs.find_page(conn, other.organisation_id, other.instance_id, None, _PAGE)) == 1
