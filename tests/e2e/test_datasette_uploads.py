"""Uploads to Datasette, a vendor that we did not write: its tables, read by SQLite, are held against each verdict."""

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import pytest

from tests.fixtures.datasette import Datasette, Row
from tests.fixtures.processes import PRODUCT
from tests.fixtures.stack import Stack
from tests.fixtures.waiting import wait_until

CALLS, BATCH, FEW = 4, 100, 25
NOTES = [f"note{number}" for number in range(8)]
COLUMNS = ["id", "email", "name", "age", "weight", "plan", *NOTES]
"""So many that Datasette needs two statements for a hundred rows: only its transaction makes them all or none.

A `plan` that is null was lost on the way: rows without one have the default.
"""

PEOPLE = f"""create table {{}} (id integer primary key, email text not null unique, name text, age integer, weight real,
    plan text default 'free', {", ".join(f"{note} text" for note in NOTES)})"""


@dataclass(frozen=True)
class Shop:
    """One instance of the vendor, and the product in front of it."""

    stack: Stack
    vendor: Datasette
    authorization: str

    def call(self, method: str, path: str, **options: Any) -> Any:
        answer = self.stack.customer.insist(method, path, self.authorization, **options)
        assert answer.status_code == 200, answer.text
        return answer

    def upload(self, table: str, rows: list[Row], **about: Any) -> int:
        files = {"metaData": (None, json.dumps(about)), "file": ("rows.csv", csv_of(rows), "text/csv")}
        return int(self.call("POST", f"/bulk/{table}", files=files).json()["id"])

    def ended(self, job: int) -> dict[str, Any]:
        """The last status of a job that came to its end."""

        def last() -> dict[str, Any]:
            status: dict[str, Any] = self.call("GET", f"/bulk/{job}/status").json()
            return status if status["status"] in {"COMPLETED", "ABORTED", "CANCELLED"} else {}

        status = wait_until(last, f"job {job} to end", 60, pause_s=0.1)
        assert status["status"] == "COMPLETED", status
        return status

    def verdicts(self, job: int, row_count: int) -> list[Row]:
        """One for each row of the file, in its order; what failed is what the status counts."""
        status = self.ended(job)
        found = [json.loads(line) for line in self.call("GET", f"/bulk/{job}/results").text.splitlines()]
        assert [each["rowNumber"] for each in found] == list(range(1, row_count + 1))
        failed = [each for each in found if each["verdict"] in {"FAILED", "UNCERTAIN"}]
        assert (status["recordsCount"], status["recordsFailedCount"]) == (row_count, len(failed))
        return found

    def send(self, table: str, rows: list[Row], **about: Any) -> list[Row]:
        return self.verdicts(self.upload(table, rows, **about), len(rows))


@pytest.fixture(scope="module")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """No leg ends in the middle: what it had told of and not sent would go row by row."""
    folder = tmp_path_factory.mktemp("stack")
    with Stack(folder, HAULAGE_UPLOAD_CALLS=str(CALLS), HAULAGE_LEG_S="60") as started:
        started.keep("worker")
        yield started


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    with Datasette(tmp_path_factory.mktemp("datasette")) as started:
        yield started


@pytest.fixture
def shop(request: pytest.FixtureRequest, _stack: Stack, vendor: Datasette) -> Shop:
    request.node.stash[PRODUCT] = _stack.product
    return Shop(_stack, vendor, connect(_stack, vendor))


def connect(stack: Stack, vendor: Datasette, **settings: str) -> str:
    body = {"element": {"key": "datasette"}, "name": "shop", "configuration": {**vendor.configuration, **settings}}
    answer = stack.customer.insist("POST", "/instances", json=body)
    assert answer.status_code == 200, answer.text
    return f"{stack.customer.platform_authorization}, Element {answer.json()['token']}"


def csv_of(rows: list[Row]) -> bytes:
    """A column that a row does not have is an empty cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, names)
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


def person(number: int, **changed: Any) -> Row:
    """A run of them names a plan, the next one has the table's."""
    plan = {"plan": "gold"} if number // 250 % 2 else {}
    notes = {note: f"{note} of {number}" for note in NOTES}
    row = {"id": number, "email": f"p{number}@shop.test", "name": f'Zoë "{number}", Ltd', "age": 20 + number % 60}
    return {**row, "weight": number / 8, **plan, **notes, **changed}


def stored(row: Row) -> Row:
    return {"plan": "free", **row}


def by_id(rows: list[Row]) -> dict[int, Row]:
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def outcomes(results: list[Row]) -> dict[int, tuple[Any, ...]]:
    """By number of the row."""
    return {each["rowNumber"]: (each["verdict"], each["httpStatus"], each["errorClass"]) for each in results}


def numbers(results: list[Row], verdict: str) -> list[int]:
    return [each["rowNumber"] for each in results if each["verdict"] == verdict]


CREATED, UPSERTED = ("CREATED", 201, None), ("UPSERTED", 200, None)
UPDATED, DELETED = ("UPDATED", 200, None), ("DELETED", 200, None)
DUPLICATE, REFUSED, NOT_FOUND = ("FAILED", 400, "duplicate"), ("FAILED", 400, "data"), ("FAILED", 404, "not_found")


@dataclass(frozen=True)
class Spoiled:
    """A file of people of whom some cannot be created, each `step`-th or so, and what the table has before."""

    count: int
    step: int

    @property
    def same_id(self) -> range:
        """Rows whose id is there already."""
        return range(self.step, self.count, self.step)

    @property
    def same_email(self) -> range:
        return range(self.step + 1, self.count, self.step + 1)

    @property
    def no_email(self) -> range:
        return range(self.step + 2, self.count, self.step + 2)

    @property
    def twice(self) -> list[tuple[int, int]]:
        """Rows of the file that have the same id, or the same e-mail: whichever comes first is created."""
        return [(1, self.count + 1), (5, self.count + 2)]

    def before(self) -> list[Row]:
        same_id = [stored(person(number, email=f"old {number}")) for number in self.same_id]
        return same_id + [stored(person(2 * self.count + n, email=f"p{n}@shop.test")) for n in self.same_email]

    def rows(self) -> list[Row]:
        rows = [person(number) for number in range(1, self.count + 1)]
        for number in self.no_email:
            del rows[number - 1]["email"]
        return [*rows, person(1, name="again"), person(5, id=10 * self.count)]

    def expected(self) -> dict[int, tuple[Any, ...]]:
        """By number, as if the rows of `twice` were all created."""
        told = dict.fromkeys(range(1, self.count + 3), CREATED) | dict.fromkeys(self.no_email, REFUSED)
        return told | dict.fromkeys([*self.same_id, *self.same_email], DUPLICATE)


@pytest.mark.parametrize(
    ("rows_a_call", "spoiled", "most_calls"),
    [(1, Spoiled(300, 90), 302), (BATCH, Spoiled(2000, 390), 500)],
    ids=["single", "batches"],
)
def test_what_violates_a_constraint_fails_and_the_rest_of_its_batch_arrives(
    shop: Shop, rows_a_call: int, spoiled: Spoiled, most_calls: int
) -> None:
    table, rows = f"created_{rows_a_call}", spoiled.rows()
    shop.vendor.change(PEOPLE.format(table))
    shop.vendor.fill(table, spoiled.before())

    results = shop.send(table, rows, action="create", bulkUploadRecordSize=rows_a_call)

    arrived = [stored(rows[number - 1]) for number in numbers(results, "CREATED")]
    assert by_id(shop.vendor.rows(table)) == by_id(spoiled.before() + arrived)
    told, expected = outcomes(results), spoiled.expected()
    for pair in spoiled.twice:
        assert sorted(told.pop(number) for number in pair) == [CREATED, DUPLICATE]
        assert [expected.pop(number) for number in pair] == [CREATED, CREATED]
    assert told == expected
    assert len(rows) / rows_a_call <= shop.vendor.call_count(f"{table}/-/insert") <= most_calls


@pytest.mark.parametrize(
    ("rows_a_call", "count", "most_calls"), [(1, 300, 300), (BATCH, 2000, 500)], ids=["single", "batches"]
)
def test_upserts_change_what_is_there_and_add_the_rest(
    shop: Shop, rows_a_call: int, count: int, most_calls: int
) -> None:
    table = f"upserted_{rows_a_call}"
    before = [stored(person(number, plan="platinum")) for number in range(1, count, 2)]
    taken = stored(person(10 * count, email="taken@shop.test"))
    shop.vendor.change(PEOPLE.format(table))
    shop.vendor.fill(table, [*before, taken])
    rows: list[Row] = [{"id": n, "email": f"new{n}@shop.test", "age": n} for n in range(1, count + 1)]
    refused = range(199, count, 199)
    for number in refused:
        rows[number - 1]["email"] = taken["email"]

    about = {"action": "upsert", "identifierFieldName": "id", "bulkUploadRecordSize": rows_a_call}
    results = shop.send(table, rows, **about)

    told = dict.fromkeys(range(1, count + 1), UPSERTED) | dict.fromkeys(refused, DUPLICATE)
    assert outcomes(results) == told
    new = dict.fromkeys(COLUMNS) | {"plan": "free"}
    expected = by_id([*before, taken])
    for number in numbers(results, "UPSERTED"):
        expected[number] = {**expected.get(number, new), **rows[number - 1]}
    assert by_id(shop.vendor.rows(table)) == expected
    assert count / rows_a_call <= shop.vendor.call_count(f"{table}/-/upsert") <= most_calls


KEYS = ["a b", "a~20b", "a/b", "a~2Fb", "a,b", "a+b", "a%b", "a~b", "50%", "a.b", "-", "ä", "日本", "a?b=c#d"]
"""As they are in the table; in a path Datasette has its own escapes."""


def test_updates_and_deletes_change_their_own_records_alone(shop: Shop) -> None:
    keys = [*KEYS, *(f"key {number}" for number in range(100))]
    shop.vendor.change("create table codes (code text primary key, value integer, note text)")
    shop.vendor.fill("codes", [{"code": key, "value": 0, "note": f"of {key}"} for key in keys])
    changes = [{"code": key, "value": number} for number, key in enumerate(keys[::2])]

    updated = shop.send("codes", [*changes, {"code": "none", "value": 1}], action="update", identifierFieldName="code")

    values = {row["code"]: row["value"] for row in changes}
    kept = {key: {"code": key, "value": values.get(key, 0), "note": f"of {key}"} for key in keys}
    assert list(outcomes(updated).values()) == [UPDATED] * len(changes) + [NOT_FOUND]
    assert {row["code"]: row for row in shop.vendor.rows("codes")} == kept

    gone = keys[1::2]
    rows = [{"code": key} for key in [*gone, "none"]]
    deleted = shop.send("codes", rows, action="delete", identifierFieldName="code")

    assert list(outcomes(deleted).values()) == [DELETED] * len(gone) + [NOT_FOUND]
    left = {key: kept[key] for key in keys[::2]}
    assert {row["code"]: row for row in shop.vendor.rows("codes")} == left


def test_what_was_uploaded_is_downloaded_again(shop: Shop) -> None:
    """Three pages of it, and a name that needs escapes."""
    count, table = 2500, "my people"
    shop.vendor.change(PEOPLE.format(f'"{table}"'))
    rows = [person(number) for number in range(1, count + 1)]
    assert numbers(shop.send(table, rows, action="create"), "CREATED") == list(range(1, count + 1))

    job = int(shop.call("POST", "/bulk/download", json={"objectName": table}).json()["id"])
    shop.ended(job)
    lines = shop.call("GET", f"/bulk/{job}/{table}", headers={"Accept": "application/jsonl"}).text.splitlines()

    assert [json.loads(line) for line in lines] == [stored(row) for row in rows]
    assert [json.loads(line) for line in lines] == shop.vendor.rows(f'"{table}"')


def test_rows_wait_while_the_database_is_locked(shop: Shop) -> None:
    """Datasette gives up after five seconds with a 400, as it says of every refusal."""
    shop.vendor.change("create table waiting (id integer primary key)")
    with closing(sqlite3.connect(shop.vendor.file, isolation_level=None)) as other:
        other.execute("begin immediate")
        rows: list[Row] = [{"id": number} for number in range(1, 11)]
        job = shop.upload("waiting", rows, action="create", bulkUploadRecordSize=1)
        wait_until(lambda: shop.vendor.call_count("waiting/-/insert"), "a refusal", 60)
        other.execute("rollback")
    results = shop.verdicts(job, 10)
    assert numbers(results, "CREATED") == [row["id"] for row in shop.vendor.rows("waiting")] == list(range(1, 11))


@pytest.mark.parametrize(
    ("action", "verb", "verdict"), [("create", "insert", "CREATED"), ("upsert", "upsert", "UPSERTED")]
)
def test_a_killed_worker_leaves_in_doubt_what_was_under_way_alone(
    shop: Shop, action: str, verb: str, verdict: str
) -> None:
    table = f"killed_{action}"
    key = " primary key" if action == "upsert" else ""  # without one the table takes a row twice
    shop.vendor.change(f"create table {table} (number integer{key}, text text)")
    rows: list[Row] = [{"number": number, "text": f"row {number}"} for number in range(1, 1001)]
    shop.call("PATCH", "/instances", json={"configuration": {"limits.calls_per_second": "6"}})
    job = shop.upload(table, rows, action=action, identifierFieldName="number", bulkUploadRecordSize=FEW)
    doubtful = kill_in_the_middle(shop, job, table, verb)
    shop.call("PATCH", "/instances", json={"configuration": {"limits.calls_per_second": None}})
    results = shop.verdicts(job, len(rows))

    assert sorted(shop.vendor.rows(table), key=itemgetter("number")) == rows
    uncertain = set(numbers(results, "UNCERTAIN"))
    assert uncertain == (doubtful if action == "create" else set())
    assert set(numbers(results, verdict)) == {row["number"] for row in rows} - uncertain


def kill_in_the_middle(shop: Shop, job: int, table: str, verb: str) -> set[int]:
    """Kill the worker before it hears of the calls that the vendor carried out; their rows."""
    path, worker = f"{table}/-/{verb}", next(each for each in shop.stack.kept if each.process.name == "worker")
    wait_until(lambda: len(shop.vendor.rows(table)) >= 5 * FEW, "some batches to arrive")
    shop.vendor.freeze()
    wait_until(lambda: all_places_wait(shop, job, path), "each place to hold a call unanswered")
    process = shop.stack.let_go(worker)
    process.freeze()
    answered = shop.vendor.call_count(path)
    shop.vendor.thaw()
    wait_until(lambda: shop.vendor.call_count(path) == answered + CALLS, "the vendor to carry them out")
    process.kill()
    doubtful = under_way(shop.stack, job)
    assert len(doubtful) == CALLS * FEW
    shop.stack.keep("worker")
    return doubtful


def all_places_wait(shop: Shop, job: int, path: str) -> bool:
    """What the vendor answered has been told of, and it is frozen: nothing more happens."""
    told = shop.stack.number("select count(*) from upload_rows where job_id = %s and verdict is not null", job)
    return told == FEW * shop.vendor.call_count(path) and len(under_way(shop.stack, job)) == CALLS * FEW


def under_way(stack: Stack, job: int) -> set[int]:
    """Rows that were sent and of which no outcome is known."""
    query = "select number from upload_rows where job_id = %s and is_sent and verdict is null"
    with stack.rows() as connection:
        return {row["number"] for row in connection.execute(query, (job,)).fetchall()}
