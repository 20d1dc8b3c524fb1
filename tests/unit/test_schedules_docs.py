"""docs/schedules.md names everything that a schedule takes and tells."""

import pytest

from app.api.schedule_schemas import FORGOTTEN, OWN_NAMES, ScheduleRunSchema, ScheduleSchema
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
