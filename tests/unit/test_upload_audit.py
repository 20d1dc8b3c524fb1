"""The audit of uploads: each promise that is broken is found, and nothing else."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from app.sandbox import Account
from app.sandbox.habits import Habits
from app.sandbox.settings import Plain
from tests.fakes.upload_audit import Rows, audit_upload
from tests.fixtures import uploader
from tests.fixtures.uploader import SubmittedUpload, UploadKind

BLIND = UploadKind("blind")
KEYED = UploadKind("keyed", "idempotency key")
COUNT = 24
BAD = 23
ACCEPT = Habits(duplicates="accept")


@dataclass
class Told:
    """What the database says: `rows` of the job by number, and what the triggers saw."""

    rows: dict[int, dict[str, Any]]
    lost: list[list[int]] = field(default_factory=list)
    second: list[dict[str, Any]] = field(default_factory=list)
    counters: tuple[int, int, int] | None = None

    def execute(self, query: str, _values: tuple[int]) -> Any:
        if "chaos_second_verdicts" in query:
            return self.second
        if "chaos_taken_over" in query:
            return [{"numbers": numbers} for numbers in self.lost]
        return self if "record_count" in query else list(self.rows.values())

    def fetchone(self) -> dict[str, int]:
        verdicts = [row["verdict"] for row in self.rows.values()]
        uncertain = verdicts.count("UNCERTAIN")
        true = (COUNT, verdicts.count("FAILED") + uncertain, uncertain)
        return dict(zip(("record_count", "failed_count", "uncertain_count"), self.counters or true, strict=True))


def uploaded(kind: UploadKind = BLIND) -> tuple[SubmittedUpload, Told]:
    """A job where all went well."""
    people = uploader.people_of(1, COUNT)
    job = SubmittedUpload(1, kind.object_name, Account("a", Plain()), "", {}, kind=kind, people=people)
    rows = {}
    for number, person in enumerate(people, 1):
        outcome = create(job, number) if person.is_good else None
        rows[number] = {
            "number": number,
            "line": number + 1,
            "verdict": "CREATED" if outcome else "FAILED",
            "is_sent": False,
            "vendor_id": outcome,
            "detail": None,
        }
    return job, Told(rows)


def create(job: SubmittedUpload, number: int) -> str:
    person = job.people[number - 1]
    record = {"email": person.email, "name": person.name, "age": int(person.age)}
    made = job.account.people.create(record, ACCEPT).record
    assert made is not None
    return str(made["id"])


def problems(job: SubmittedUpload, told: Told) -> list[str]:
    return list(audit_upload(cast("Rows", told), job)[1])


def test_all_is_well() -> None:
    job, told = uploaded()
    counts, found = audit_upload(cast("Rows", told), job)
    assert found == []
    assert (counts.rows, counts.good, counts.failed, counts.is_exact) == (COUNT, COUNT - 1, 1, True)


def test_a_double_create_is_found() -> None:
    job, told = uploaded()
    create(job, 5)
    assert any("was created 2 times" in each for each in problems(job, told))
    assert audit_upload(cast("Rows", told), job)[0].doubled == 1


def test_a_row_that_the_vendor_does_not_have_is_found() -> None:
    job, told = uploaded()
    job.account.people.delete(int(told.rows[5]["vendor_id"]))
    assert problems(job, told) == ["job 1 (blind): row 5 counts as written, and the vendor does not have it"]
    assert audit_upload(cast("Rows", told), job)[0].missing == 1


@pytest.mark.parametrize(
    ("number", "change", "words"),
    [
        (5, {"verdict": None}, "row 5 has no verdict"),
        (5, {"is_sent": True}, "row 5 has no verdict"),
        (5, {"verdict": "FAILED"}, "row 5 failed, and the vendor has it"),
        (BAD, {"verdict": "CREATED"}, "the vendor does not have it"),
        (5, {"vendor_id": "77"}, "is said to be 77 at the vendor"),
        (5, {"line": 5}, "is said to stand in line 5"),
        (5, {"verdict": "UNCERTAIN"}, "nobody died over them"),
    ],
)
def test_a_wrong_row_is_found(number: int, change: dict[str, Any], words: str) -> None:
    job, told = uploaded()
    told.rows[number] |= change
    assert any(words in each for each in problems(job, told))


def test_a_row_that_is_not_there_is_found() -> None:
    job, told = uploaded()
    del told.rows[5]
    assert any("row 5 has no verdict" in each for each in problems(job, told))
    assert audit_upload(cast("Rows", told), job)[0].untold == 1


def test_a_second_verdict_and_wrong_counters_are_found() -> None:
    job, told = uploaded()
    told.second = [{"number": 3, "verdicts": "UNCERTAIN -> CREATED"}]
    told.counters = (COUNT, 0, 0)
    first, second = problems(job, told)
    assert "row 3 had two verdicts" in first
    assert "counters" in second


def test_rows_in_flight_at_a_loss_may_be_uncertain_where_nothing_settles_them() -> None:
    job, told = uploaded()
    told.rows[5]["verdict"] = "UNCERTAIN"
    told.lost = [[4, 5]]
    counts, found = audit_upload(cast("Rows", told), job)
    assert found == []
    assert (counts.uncertain, counts.lost_hold, counts.most_in_flight) == (1, 1, 2)


def test_more_rows_in_flight_than_calls_hold_are_found() -> None:
    job, told = uploaded()
    told.lost = [list(range(1, uploader.CALLS + 2))]
    assert any("rows were in flight when a worker was lost" in each for each in problems(job, told))


def test_a_faulty_answer_excuses_the_rows_of_its_call() -> None:
    job, told = uploaded()
    told.rows[5]["verdict"] = told.rows[6]["verdict"] = "UNCERTAIN"
    job.account.counters["fault_cut"] = 1
    assert any("nobody died over them" in each for each in problems(job, told))
    job.account.counters["fault_cut"] = 2
    assert problems(job, told) == []


def test_nothing_is_uncertain_where_it_can_be_settled() -> None:
    job, told = uploaded(KEYED)
    told.rows[5]["verdict"] = "UNCERTAIN"
    told.lost = [[5]]
    assert problems(job, told) == ["job 1 (keyed): row 5 is uncertain in spite of the idempotency key: None"]
