"""The promises of one upload, checked by the vendor's own table and by what triggers of ours saw in the database.

`install` lets PostgreSQL write down which rows were in flight each time that a slice is taken, and every verdict that
took the place of another.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from app.sandbox import Account
from tests.fakes.row_counts import RowCounts
from tests.fixtures.uploader import Person, SubmittedUpload

Rows = psycopg.Connection[dict[str, Any]]

_LEDGER = """
create table chaos_taken_over (job_id bigint not null, claim integer not null, numbers bigint[] not null);
create table chaos_second_verdicts (job_id bigint not null, number bigint not null, verdicts text not null);

create function chaos_note_claim() returns trigger language plpgsql as $$
begin
  insert into chaos_taken_over
    select new.job_id, new.claim, array_agg(number) from upload_rows
    where job_id = new.job_id and is_sent and verdict is null having count(*) > 0;
  return null;
end $$;
create trigger chaos_claimed after update of claim on slices for each row
  when (new.claim > old.claim and new.lease_expires_at is not null) execute function chaos_note_claim();

create function chaos_note_verdict() returns trigger language plpgsql as $$
begin
  insert into chaos_second_verdicts values (old.job_id, old.number, concat(old.verdict, ' -> ', new.verdict));
  return null;
end $$;
create trigger chaos_judged after update of verdict on upload_rows for each row
  when (old.verdict is not null and new.verdict is distinct from old.verdict) execute function chaos_note_verdict();
"""
_GOOD = {"create": {"CREATED"}, "upsert": {"CREATED", "UPDATED", "UPSERTED"}}


def install(rows: Rows) -> None:
    """Once a database, before the first upload."""
    rows.execute(_LEDGER)


def audit_upload(rows: Rows, job: SubmittedUpload) -> tuple[RowCounts, Sequence[str]]:
    """What became of the rows of one job that has ended, and in words what is wrong with it."""
    told = {row["number"]: row for row in rows.execute(_TOLD, (job.id,))}
    lost = [set(row["numbers"]) for row in rows.execute(_IN_FLIGHT, (job.id,))]
    problems = [
        *_second_verdicts(rows, job),
        *_sums(rows, job, told),
        *_rows(job, told),
        *_table(job, told),
        *_doubts(job, told, lost),
    ]
    return _counts(job, told, lost), [f"job {job.id} ({job.kind.object_name}): {text}" for text in problems]


_TOLD = "select number, line, verdict, is_sent, vendor_id, detail from upload_rows where job_id = %s"
_IN_FLIGHT = "select numbers from chaos_taken_over where job_id = %s"

Told = Mapping[int, Mapping[str, Any]]


def _second_verdicts(rows: Rows, job: SubmittedUpload) -> Iterator[str]:
    for row in rows.execute("select number, verdicts from chaos_second_verdicts where job_id = %s", (job.id,)):
        yield f"row {row['number']} had two verdicts: {row['verdicts']}"


def _sums(rows: Rows, job: SubmittedUpload, told: Told) -> Iterator[str]:
    found = rows.execute("select record_count, failed_count, uncertain_count from jobs where id = %s", (job.id,))
    row = found.fetchone()
    assert row is not None
    verdicts = [each["verdict"] for each in told.values()]
    uncertain = verdicts.count("UNCERTAIN")
    expected = (len(job.people), verdicts.count("FAILED") + uncertain, uncertain)
    if tuple(row.values()) != expected:
        yield f"the job's counters say {tuple(row.values())}, its rows {expected}"


def _rows(job: SubmittedUpload, told: Told) -> Iterator[str]:
    """Each row has one verdict, and the right one."""
    if strangers := told.keys() - set(range(1, len(job.people) + 1)):
        yield f"rows that the file does not have: {sorted(strangers)}"
    for number, person in _numbered(job):
        row = told.get(number)
        if row is None or row["verdict"] is None or row["is_sent"]:
            yield f"row {number} has no verdict: {row}"
        elif row["verdict"] == "UNCERTAIN":
            if job.kind.settles:
                yield f"row {number} is uncertain in spite of the {job.kind.settles}: {row['detail']}"
        elif row["verdict"] not in (_GOOD[job.kind.action] if person.is_good else {"FAILED"}):
            yield f"row {number} ({person.email}) is {row['verdict']}: {row['detail']}"
        elif row["line"] != number + 1:
            yield f"row {number} is said to stand in line {row['line']}"


def _table(job: SubmittedUpload, told: Told) -> Iterator[str]:
    """What the vendor holds is what we say: nothing twice, nothing missing, nothing that was not sent."""
    for email, times in sorted(job.account.people.created.items()):
        if times > 1:
            yield f"{email} was created {times} times"
    held = _held(job.account)
    if strangers := held.keys() - {person.email for person in job.people}:
        yield f"the vendor has {sorted(strangers)}, which nobody sent"
    for number, person in _numbered(job):
        verdict, record = told.get(number, {}).get("verdict"), held.get(person.email)
        if verdict in _GOOD[job.kind.action]:
            yield from _compared(number, person, told[number]["vendor_id"], record)
        elif verdict == "FAILED" and record is not None:
            yield f"row {number} failed, and the vendor has it: {record}"


def _compared(number: int, person: Person, vendor_id: str | None, record: dict[str, Any] | None) -> Iterator[str]:
    if record is None:
        yield f"row {number} counts as written, and the vendor does not have it"
    elif (record["name"], record["age"]) != (person.name, int(person.age)):
        yield f"row {number} is {record} at the vendor"
    elif vendor_id not in {None, str(record["id"])}:
        yield f"row {number} is said to be {vendor_id} at the vendor, where it is {record['id']}"


def _doubts(job: SubmittedUpload, told: Told, lost: Sequence[set[int]]) -> Iterator[str]:
    """Uncertain are only rows that were in flight when their worker was lost, or when the vendor was at fault."""
    if job.kind.settles:
        return
    most = job.most_in_flight
    if too_many := [len(numbers) for numbers in lost if len(numbers) > most]:
        yield f"{too_many} rows were in flight when a worker was lost; at most {most} are allowed"
    others = _uncertain(told) - set().union(*lost)
    if len(others) > _excused(job):
        yield f"rows {sorted(others)} are uncertain: nobody died over them, and {_excused(job)} are the vendor's doing"


def _uncertain(told: Told) -> set[int]:
    return {number for number, row in told.items() if row["verdict"] == "UNCERTAIN"}


def _excused(job: SubmittedUpload) -> int:
    """Each faulty answer leaves the rows of its call in doubt, at most."""
    faults = sum(count for name, count in dict(job.account.counters).items() if name.startswith("fault_"))
    return faults * job.kind.rows_a_call


def _held(account: Account) -> dict[str, dict[str, Any]]:
    return {str(record["email"]): record for record in account.people.rows()}


def _numbered(job: SubmittedUpload) -> Iterator[tuple[int, Person]]:
    return enumerate(job.people, 1)


def _counts(job: SubmittedUpload, told: Told, lost: Sequence[set[int]]) -> RowCounts:
    held = _held(job.account)
    verdicts = [told.get(number, {}).get("verdict") for number, _ in _numbered(job)]
    good = _GOOD[job.kind.action]
    return RowCounts(
        rows=len(job.people),
        good=sum(verdict in good for verdict in verdicts),
        failed=verdicts.count("FAILED"),
        uncertain=verdicts.count("UNCERTAIN"),
        lost_hold=len(_uncertain(told) & set().union(*lost)),
        most_in_flight=0 if job.kind.settles else max(map(len, lost), default=0),
        doubled=sum(times > 1 for times in job.account.people.created.values()),
        missing=sum(
            verdict in good and person.email not in held
            for (_, person), verdict in zip(_numbered(job), verdicts, strict=True)
        ),
        untold=verdicts.count(None),
    )
