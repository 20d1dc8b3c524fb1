"""Where outputs are pushed to, and what is told of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.file_names import PATTERNS
from app.domain.pushes import PathError, check_placeholders, failure_text, filled, is_packed

MOMENT = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)


def test_placeholders_are_filled_in() -> None:
    path = "/{objectName}/{yyyy-MM-dd HH:mm:ss}/{jobId}.csv.gz"
    found = filled(path, job_id=41, object_name="people", moment=MOMENT)
    assert found == "people/2026-03-01 04:05:06/41.csv.gz"


@given(st.text(max_size=30))
def test_an_objects_name_makes_no_folders(name: str) -> None:
    found = filled("a/{objectName}/b", job_id=1, object_name=name, moment=MOMENT)
    assert found.count("/") == 2
    assert "\\" not in found


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_documented_pattern_is_one(pattern: str) -> None:
    check_placeholders(f"x{{{pattern}}}")
    assert "{" not in filled(f"x{{{pattern}}}", job_id=1, object_name="a", moment=MOMENT)


@pytest.mark.parametrize("path", ["", "{x}", "{", "a}b", "{jobid}", "x" * 501])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(PathError):
        check_placeholders(path)


def test_the_extension_says_whether_it_is_packed() -> None:
    assert [is_packed(each) for each in ("a.gz", "a.csv.GZ", "a.csv", "gz")] == [True, True, False, False]


def test_only_a_push_that_was_given_up_is_told_of() -> None:
    push = {"path": "a.csv", "state": "FAILED", "error": "The bucket is gone."}
    assert failure_text(push) == "The output was not pushed to a.csv: The bucket is gone. It can be downloaded."
    assert failure_text(push | {"state": "PUSHED"}) is None
    assert failure_text(None) is None
