import pytest

from app.api.job_query import choose, parse_fields, parse_where
from app.db.jobs import JobFilter
from app.domain.jobs import JobStatus
from app.errors import InvalidInputError


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, JobFilter()),
        ("", JobFilter()),
        ("job_direction='UPLOAD'", JobFilter(direction="UPLOAD")),
        ("object_name = 'con''tacts' AND job_status='CANCELED'", JobFilter("con'tacts", JobStatus.CANCELLED)),
        ("job_status='RUNNING'and object_name='a and b'", JobFilter("a and b", JobStatus.RUNNING)),
    ],
)
def test_equality_joined_by_and_is_understood(where: str | None, expected: JobFilter) -> None:
    assert parse_where(where) == expected


@pytest.mark.parametrize(
    "where",
    [
        "record_count > 5",
        "object_name",
        "object_name='a' or job_direction='b'",
        "object_name='a' and",
        "object_name='a' and ",
        "object_name='a' object_name='b'",
        "object_name='a' and object_name='b'",
        "object_name='a",
        "job_status='NONE'",
    ],
)
def test_anything_else_is_refused_and_told(where: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_where(where)


def test_keys_are_chosen_by_name() -> None:
    assert choose({"id": 1, "status": "x"}, parse_fields(" id ,")) == {"id": 1}
    assert choose({"id": 1}, parse_fields(None)) == {"id": 1}
    with pytest.raises(InvalidInputError, match="fields 'nope'"):
        parse_fields("id,nope")
