"""States of a job, and criteria as they are stored and echoed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.criteria import SUPPORTED, Child, DownloadCriteria
from app.domain.jobs import TERMINAL, FileFormat, JobStatus, can_restart
from app.domain.pushes import DocsHub

TEXTS = st.text(min_size=1, max_size=20)
COUNTS = st.none() | st.integers(1, 2**40)
CRITERIA = st.builds(
    DownloadCriteria,
    object_name=TEXTS,
    file_format=st.sampled_from(FileFormat),
    page_size=COUNTS,
    limit=COUNTS,
    api_limit=COUNTS,
    query=st.dictionaries(TEXTS, st.text(max_size=20), max_size=4),
    notification_url=st.none() | TEXTS,
    select_fields=st.lists(st.from_regex(r"[a-z][a-z .]{0,8}[a-z]", fullmatch=True), max_size=3, unique=True).map(
        tuple
    ),
    filter_nulls=st.booleans(),
    date_from=st.none() | TEXTS,
    date_to=st.none() | TEXTS,
    filter_date_field=st.none() | TEXTS,
    child=st.none() | st.builds(Child, TEXTS, TEXTS),
    docs_hub=st.none() | st.builds(DocsHub, st.integers(1, 2**31 - 1), TEXTS),
    file_name=st.none() | TEXTS,
    callback_payload=st.none() | st.integers() | TEXTS | st.dictionaries(TEXTS, TEXTS, max_size=2),
)


@given(CRITERIA)
def test_criteria_are_read_back_as_they_were(criteria: DownloadCriteria) -> None:
    assert DownloadCriteria.from_echo(criteria.echo()) == criteria


@given(CRITERIA)
def test_only_criteria_that_work_are_echoed(criteria: DownloadCriteria) -> None:
    assert set(criteria.echo()) <= set(SUPPORTED)
    assert None not in criteria.echo().values()


@pytest.mark.parametrize("status", JobStatus)
@pytest.mark.parametrize("more", [True, False])
def test_a_restart_is_for_what_ended_before_the_vendors_last_record(status: JobStatus, more: bool) -> None:
    ended_early = status in {JobStatus.ABORTED, JobStatus.CANCELLED} or (status is JobStatus.COMPLETED and more)
    assert can_restart(status, more=more) == ended_early


@pytest.mark.parametrize("status", JobStatus)
def test_terminal_states_are_the_three_that_nobody_leaves_by_himself(status: JobStatus) -> None:
    assert status.is_terminal == (status.value in {"COMPLETED", "ABORTED", "CANCELLED"}) == (status in TERMINAL)


def test_formats_have_both_spellings_and_the_vendors_own_misspelling() -> None:
    assert [each.short for each in FileFormat] == ["JSONL", "JSON", "CSV"]
    assert FileFormat.parse("txt/csv") is FileFormat.parse("text/csv") is FileFormat.CSV
    with pytest.raises(ValueError, match="xml"):
        FileFormat.parse("application/xml")
