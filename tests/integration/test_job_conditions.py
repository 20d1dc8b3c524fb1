"""`where` of the list of jobs: PostgreSQL takes exactly the jobs whose items fulfil the condition.

The condition is evaluated twice: as SQL over the rows, and by the evaluator over the items that are shown.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.db import jobs
from app.db.job_conditions import FILTER_NAMES, job_filter
from app.domain.ocnql import (
    Between,
    Comparison,
    Condition,
    Date,
    In,
    IsNull,
    Like,
    Not,
    Number,
    Operator,
    Text,
    Value,
    compile_condition,
    parse_condition,
    text_of,
)
from app.domain.status_document import job_item
from tests.fakes.engine import Engine
from tests.fakes.ocnql import conditions

_ROWS = """
insert into jobs (id, organisation_id, instance_id, connector_id, connector_revision_id, object_name, file_format,
  criteria, status, direction, record_count, created_at, finished_at, notification_url, run_number)
select jobs.id + n * 1000000000::bigint, organisation_id, instance_id, connector_id, connector_revision_id,
  (array['records', 'Records', 'a_b', 'axb', '50%%', 'it''s', 'é', 'back\\slash'])[1 + n %% 8], file_format, criteria,
  (array['CREATED', 'RUNNING', 'COMPLETED', 'CANCELLED'])[1 + n %% 4], (array['DOWNLOAD', 'UPLOAD'])[1 + n %% 2],
  n * 5, '2021-03-16T00:00:00Z'::timestamptz + n * interval '1 second' + n * interval '0.0004 second',
  case when n %% 3 = 0 then '2021-03-16T01:00:00Z'::timestamptz + n * interval '1 second' end,
  case when n %% 5 = 0 then 'https://hooks.test/' || n end, 1 + n %% 3
from jobs, generate_series(1, 24) as n
"""
TEXTS = st.sampled_from(["records", "Records", "a_b", "50%", "it's", "é", "back\\slash", "DOWNLOAD", "z", ""]).map(Text)
STATES = st.sampled_from(["CREATED", "RUNNING", "COMPLETED", "CANCELLED", "ABORTED"]).map(Text)
NUMBERS: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from(["0", "1", "2", "5", "60", "60.0", "7.5", "1e3", "9223372036854775808", "-1e30"]).map(
        lambda text: Number(Decimal(text))
    ),
    st.sampled_from(["5", "60.0"]).map(Text),
)
DATES: st.SearchStrategy[Value] = st.sampled_from(
    ["2021-03-16", "2021-03-16T00:00:05.002Z", "2021-03-16T00:00:05.0020001Z", "2021-03-16T02:00:06+01:00"]
).flatmap(lambda text: st.sampled_from([Text(text), Date(text)]))
PATTERNS = st.sampled_from(["%", "rec%", "%s", "a_b", "%\\%", "50%", "%00%", "", "é", "%o%o%"])
RANGES = st.sampled_from(list(Operator))
TEXT_NAMES = st.sampled_from(["object_name", "job_direction", "notification_url"])
NUMBER_NAMES = st.sampled_from(["record_count", "job_reset_attempt", "id"])
DATE_NAMES = st.sampled_from(["createdDate", "completion_time"])


def leaves(names: st.SearchStrategy[str], values: st.SearchStrategy[Value]) -> st.SearchStrategy[Condition]:
    return st.one_of(
        st.builds(Comparison, names, RANGES, values),
        st.builds(In, names, st.lists(values, min_size=1, max_size=3).map(tuple)),
        st.builds(Between, names, values, values),
        st.builds(IsNull, names),
    )


LEAVES = st.one_of(
    leaves(TEXT_NAMES, TEXTS),
    leaves(NUMBER_NAMES, NUMBERS),
    leaves(DATE_NAMES, DATES),
    leaves(st.sampled_from(["job_status", "status", "job_state"]), STATES),
    st.builds(Like, TEXT_NAMES | st.just("job_status"), PATTERNS),
)


@pytest.fixture(name="stocked")
def make_stocked(engine: Engine) -> Engine:
    engine.submit(engine.tenant)
    engine.execute(_ROWS)
    return engine


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(condition=conditions(LEAVES))
@example(condition=parse_condition("object_name like 'a_b' or object_name like '%\\%'"))
@example(condition=parse_condition("createdDate = '2021-03-16T00:00:05.002Z'"))
@example(condition=parse_condition("not completion_time > 2021-03-16T01:00:06Z"))
@example(condition=parse_condition("record_count in (5, 7.5, '60.0')"))
def test_sql_and_the_evaluator_take_the_same_jobs(stocked: Engine, condition: Condition) -> None:
    owner, take = stocked.tenant, compile_condition(condition)
    with stocked.plain_db.connection() as conn:
        every = jobs.find_page(conn, owner.organisation_id, owner.instance_id, None, 100)
        narrow = job_filter(condition)
        found = jobs.find_page(conn, owner.organisation_id, owner.instance_id, None, 100, narrow)
    assert len(every) == 25
    assert [each.id for each in found] == [each.id for each in every if take(job_item(each))], text_of(condition)


def test_every_name_can_be_asked_for(stocked: Engine) -> None:
    """In any case, and at once: each column exists and has the type that its values are read for."""
    asked = " and ".join(f"({name.upper()} is null or {name} is not null)" for name in FILTER_NAMES)
    with stocked.plain_db.connection() as conn:
        owner = stocked.tenant
        narrow = job_filter(parse_condition(asked))
        assert len(jobs.find_page(conn, owner.organisation_id, owner.instance_id, None, 100, narrow)) == 25


def test_both_spellings_of_cancelled_find_the_same(stocked: Engine) -> None:
    owner = stocked.tenant
    with stocked.plain_db.connection() as conn:
        pages = [
            jobs.find_page(conn, owner.organisation_id, owner.instance_id, None, 100, job_filter(condition))
            for condition in (
                Comparison("job_status", Operator.EQUAL, Text("CANCELED")),
                Comparison("status", Operator.EQUAL, Text("CANCELLED")),
                Not(Not(In("job_state", (Text("CANCELED"),)))),
            )
        ]
    assert len(pages[0]) == 6
    assert pages[0] == pages[1] == pages[2]
