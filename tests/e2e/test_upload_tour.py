"""The tour of docs/uploads.md, copied into a shell, against the product and its sandbox."""

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.local.procfile import CHECKOUT
from tests.fixtures.customer import PREFIX
from tests.fixtures.datasette import Datasette
from tests.fixtures.processes import PRODUCT
from tests.fixtures.stack import Stack

GUIDE = (CHECKOUT / "docs" / "uploads.md").read_text()


@pytest.fixture
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path) as started:
        request.node.stash[PRODUCT] = started.product
        started.keep("worker")
        yield started


def test_the_tour_does_what_it_says(stack: Stack, tmp_path: Path) -> None:
    if missing := [name for name in ("curl", "python3") if not shutil.which(name)]:
        pytest.fail(f"{missing} not installed; the end-to-end tests need them", pytrace=False)
    account = stack.vendor.account("tour")
    status, errors, results, table, retried = _walk(stack, stack.customer.connect(account), tmp_path)

    assert json.loads(status)["status"] == "COMPLETED"
    assert [(item["rowNumber"], item["line"]) for item in json.loads(errors)] == [(2, 3), (3, 4)]
    assert json.loads(errors)[1]["record"] == {"email": "no address", "age": 40, "address": {"city": "Bonn"}}
    rows = [json.loads(line) for line in results.splitlines()]
    assert [row["verdict"] for row in rows] == ["CREATED", "FAILED", "FAILED"]
    (person,) = account.people.rows()
    assert (person["email"], str(person["id"])) == ("ann@example.test", rows[0]["vendorId"])
    assert [row["verdict"] for row in csv.DictReader(io.StringIO(table))] == [row["verdict"] for row in rows]
    assert json.loads(retried)["status"] == "CREATED"


def test_the_tour_of_datasette_does_what_it_says(stack: Stack, tmp_path: Path) -> None:
    with Datasette(tmp_path) as vendor:
        vendor.change("create table people (id integer primary key, email text unique, age integer)")
        block = _block_with("shop.csv").replace("http://127.0.0.1:8003", vendor.url)
        authorization = f"{stack.customer.platform_authorization}, Element of-another-tour"
        status, results, page = _run(f"TOKEN={vendor.token}\n{block}", stack, authorization, tmp_path)
        there = vendor.rows("people")

    assert json.loads(status)["status"] == "COMPLETED"
    rows = [json.loads(line) for line in results.splitlines()]
    assert [row["verdict"] for row in rows].count("CREATED") == len(there) == 2
    assert [(row["verdict"], row["errorClass"]) for row in rows].count(("FAILED", "duplicate")) == 1
    assert json.loads(page)["rows"] == there


def _walk(stack: Stack, element: str, folder: Path) -> list[str]:
    return _run(_block_with("people.csv"), stack, element, folder)


def _block_with(text: str) -> str:
    """The one block of commands that has it."""
    (found,) = [each for each in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) if text in each]
    return str(found)


def _run(block: str, stack: Stack, element: str, folder: Path) -> list[str]:
    """What the loop prints and each call that stands on a line of its own."""
    calls = re.sub(r"^(curl .*?)(?:  +#.*)?$", r"echo; echo ----; \1", block, flags=re.MULTILINE)
    script = f"API={stack.web.url}{PREFIX}\nAUTH='Authorization: {element}'\n{calls}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, cwd=folder, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return [each.strip() for each in done.stdout.split("----\n")]
