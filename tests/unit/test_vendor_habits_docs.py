"""The table of vendors' habits says what is true: each test it names exists, and no habit is left out."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from app.sandbox.habits import Habits

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "vendor-habits.md").read_text("utf-8")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| habit ")]
NAMED = re.compile(r"`(\w+/test_\w+\.py)::(\w+)`")


def named_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
    return {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")}


@pytest.mark.parametrize("row", ROWS, ids=[row[2:50] for row in ROWS])
def test_each_habit_names_tests_that_exist(row: str) -> None:
    named = NAMED.findall(row)
    assert named
    assert [each for each in named if each[1] not in named_in(each[0])] == []


def test_no_test_of_a_habit_is_left_out() -> None:
    path = "integration/test_vendor_habits.py"
    assert {name for where, name in NAMED.findall(TEXT) if where == path} == named_in(path)


def test_the_sandboxs_habits_are_those_of_the_table() -> None:
    known = {each.name for each in fields(Habits)}
    shown = {name for row in ROWS for name in re.findall(r"`(\w+)`", row.rsplit("|", 2)[1])}
    assert shown == known
