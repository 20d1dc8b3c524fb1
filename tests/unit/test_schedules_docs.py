"""docs/schedules.md names everything that a schedule takes and tells."""

import json
import re

import pytest

from app.api.schedule_schemas import FORGOTTEN, OWN_NAMES, ScheduleRunSchema, ScheduleSchema
from app.connectors.registry import catalogue
from app.domain.schedules import CatchUp, RunKind
from app.local.procfile import CHECKOUT

GUIDE = (CHECKOUT / "docs" / "schedules.md").read_text()


@pytest.mark.parametrize(
    "name",
    [
        *OWN_NAMES,
        *ScheduleSchema().fields,
        *ScheduleRunSchema().fields,
        *CatchUp,
        *RunKind,
        FORGOTTEN,
        "SKIPPED",
        "FAILED",
    ],
)
def test_it_names(name: str) -> None:
    assert f"`{name}`" in GUIDE


def test_the_example_goes_by_a_date_that_the_sandbox_has() -> None:
    """By another one its second run could not be: nothing would tell what changed."""
    [example] = re.findall(r"-d '(\{.*?\})'", GUIDE, re.DOTALL)[:1]
    given = json.loads(example)
    dates = catalogue()["sandbox"]["objects"][given["objectName"]]["dates"]
    assert given["filterDateField"] == dates["updated"]
