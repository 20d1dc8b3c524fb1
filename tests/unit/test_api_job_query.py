"""`where` and `fields` of the list of jobs: what is accepted, and that what is not is told with its place."""

from __future__ import annotations

import pytest

from app.api.job_query import choose, parse_fields, parse_where
from app.db.job_conditions import FILTER_NAMES
from app.errors import InvalidInputError


def test_no_condition_takes_all() -> None:
    assert parse_where(None) is None
    assert parse_where("") is None


def test_values_are_parameters_and_never_in_the_statement() -> None:
    found = parse_where("object_name = 'x''; drop table jobs' and id in (5, 6.5) or job_status = 'CANCELED'")
    assert found is not None
    assert found.values == {"where_0": "x'; drop table jobs", "where_1": [5, 6.5], "where_2": "CANCELLED"}
    assert "drop" not in found.clause.as_string()


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("object_name", "character 12: found the end; accepted: ="),
        ("object_name='a' and", "character 20: found the end; accepted: a name"),
        ("object_name='a' object_name='b'", "character 17: found 'object_name'; accepted: AND, OR or the end"),
        ("object_name='a", "character 13: found a quote"),
        ("object_name='a' or colour='b'", f"character 20: found 'colour'; accepted: {', '.join(FILTER_NAMES)}"),
        ("id=1 and job_status='NONE'", "character 10: found job_status with 'NONE'; accepted: one of CREATED"),
        ("job_state in ('CREATED', 'x')", "character 1: found job_state with 'x'; accepted: one of CREATED"),
        ("object_name = 5", "character 1: found object_name with 5; accepted: text in single quotes"),
        ("record_count > 'many'", "character 1: found record_count with 'many'; accepted: a number"),
        ("record_count = '1e-99999'", "accepted: a number"),
        ("record_count like '1%'", "character 1: found record_count with LIKE; accepted: ="),
        ("createdDate > 'soon'", "character 1: found createdDate with 'soon'; accepted: an ISO 8601 date"),
        ("createdDate > true", "accepted: an ISO 8601 date"),
    ],
)
def test_anything_else_is_refused_and_told_where(where: str, text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_where(where)
    assert caught.value.message.startswith("Error parsing query at ")
    assert text in caught.value.message
    assert caught.value.field == "where"


def test_keys_are_chosen_by_name() -> None:
    assert choose({"id": 1, "status": "x"}, parse_fields(" id ,")) == {"id": 1}
    assert choose({"id": 1}, parse_fields(None)) == {"id": 1}
    with pytest.raises(InvalidInputError, match="fields 'nope'"):
        parse_fields("id,nope")
