"""The daily sync, driven for a month of simulated days on the real engine, with workers that die anywhere."""

import contextlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from app.api.bulk_schemas import CriteriaSchema
from app.db.jobs import Job
from app.domain.criteria import DownloadCriteria
from app.domain.criteria import Engine as BulkEngine
from app.domain.jobs import FileFormat
from app.errors import ConflictError
from app.services.querying import Asked, criteria_of
from app.services.submit import submit_download
from tests.fakes.changing_vendor import ChangingVendor, Version
from tests.fakes.engine import Engine
from tests.fakes.month import CASES, Case, Judge
from tests.fakes.steps import Killed

DAYS = 30
_SECOND = timedelta(seconds=1)


def _read(body: dict[str, Any]) -> DownloadCriteria:
    criteria: DownloadCriteria = CriteriaSchema().load(body)
    return criteria


@dataclass(frozen=True)
class Asking:
    """What the customer asks for, and what of that the connector lets the vendor do. `is_query`: by `/bulk/query`."""

    listed: Mapping[str, Any] = field(default_factory=dict)
    where: str | None = None
    is_query: bool = False
    told: tuple[str, ...] = ()
    """Parameters that the vendor is to see in every pass but the first."""

    @property
    def criteria(self) -> DownloadCriteria:
        """Of the first job."""
        if self.is_query:
            q = f"select * from records where {self.where}"
            return criteria_of(Asked(q=q, filter_date_field="changed", page_size=10), FileFormat.JSONL)
        body = {"objectName": "records", "filterDateField": "changed", "pageSize": 10}
        return _read(body | ({} if self.where is None else {"where": self.where}))

    def following(self, source: int) -> DownloadCriteria:
        """Of a job that goes on."""
        if self.is_query:
            return criteria_of(Asked(continue_from_job_id=source), FileFormat.JSONL)
        return _read({"continueFromJobId": source})

    def is_wanted(self, version: Version) -> bool:
        return self.where is None or not version.is_closed


class DailySync:
    """One customer's chain of jobs."""

    def __init__(self, engine: Engine, case: Case, seed: int, asking: Asking = Asking()) -> None:
        self.asking = asking
        self.engine = engine
        self.dice = random.Random(seed)
        self.case = case
        self.vendor = ChangingVendor(case.order, call_s=20.0)
        self.judge = Judge(self.vendor, asking.is_wanted)
        self.last: Job | None = None
        self.calls_a_day: list[int] = []
        self.passes = 0
        engine.vendor.listing = self.vendor  # type: ignore[assignment]
        engine.tenant = engine.add_tenant("cursor", **asking.listed)
        for number in range(1, 90):
            self.vendor.put(number)
        self.vendor.while_called = self._while_called

    def _while_called(self) -> None:
        """The vendor lives on while it is read."""
        if self.dice.random() < 0.4:
            self.case.change(self.vendor, self.dice)

    def day(self) -> None:
        """The run of the day, and what happens until the next one."""
        begun = self.vendor.call_count
        self.judge.job_begins()
        job_id = self._submitted()
        self.last = self._run(job_id)
        lines = [json.loads(line) for line in self.engine.output(job_id).splitlines()]
        self.judge.job_ended([(each["id"], each["version"]) for each in lines], is_pass_over=not self.last.has_more)
        self.calls_a_day.append(self.vendor.call_count - begun)
        self.passes += not self.last.has_more
        assert self.calls_a_day[-1] <= self.case.calls_a_day or self.asking.is_query, "a query has no apiLimit"
        for hours in sorted(self.dice.uniform(0, 23) for _ in range(self.dice.randrange(12))):
            self.vendor.now = max(self.vendor.now, self.vendor.now.replace(hour=0) + (hours * 3600) * _SECOND)
            self.case.change(self.vendor, self.dice)
        self.vendor.now = (self.vendor.now + 86400 * _SECOND).replace(hour=9, minute=0, second=0, microsecond=0)
        for _ in range(self.dice.randrange(4)):
            self.case.change(self.vendor, self.dice)

    def _submitted(self) -> int:
        """A client whose connection may break asks until there is a job."""
        criteria = self.asking.criteria if self.last is None else self.asking.following(self.last.id)
        if self.last is None and not self.asking.is_query:
            criteria = replace(criteria, api_limit=self.case.calls_a_day)
        while True:
            self._arm(12)
            with contextlib.suppress(Killed):
                return self._submit(criteria)
            known = 0 if self.last is None else self.last.number
            found = self.engine.rows("select id from jobs where number > %s", known)
            if found:
                with contextlib.suppress(Killed):
                    self.engine.steps.arm(-1)
                    if self.last is not None:
                        with pytest.raises(ConflictError):
                            self._submit(criteria)
                return int(found[0]["id"])

    def _submit(self, criteria: DownloadCriteria) -> int:
        engine: BulkEngine = "V2" if self.asking.is_query else "V3"
        return submit_download(self.engine.ctx, self.engine.tenant.caller, criteria, engine=engine).job_id

    def _run(self, job_id: int) -> Job:
        for _ in range(500):
            self.engine.make_due(job_id)
            self._arm(60)
            with contextlib.suppress(Killed):
                self.engine.leg(job_id)
            self.engine.steps.arm(-1)
            self.engine.lose_holder(job_id)
            if self.engine.job(job_id).status.is_terminal:
                return self.engine.job(job_id)
            self.engine.execute("update slices set crash_count = 0")
        raise AssertionError(f"job {job_id} does not end")

    def _arm(self, steps: int) -> None:
        """One time in three the process dies at one of the next steps."""
        self.engine.steps.arm(self.dice.randrange(steps) if self.dice.random() < 1 / 3 else -1)


@pytest.mark.parametrize("checkpoint_s", [0.0, 0.0001], ids=["step_by_step", "overlapped"])
@pytest.mark.parametrize("name", CASES)
def test_a_month_of_daily_runs_misses_and_doubles_nothing(
    make_engine: Callable[..., Engine], name: str, checkpoint_s: float
) -> None:
    sync = DailySync(make_engine(checkpoint_s=checkpoint_s), CASES[name], seed=hash_of(name, checkpoint_s))
    for _ in range(DAYS):
        sync.day()
    figures = f"calls a day {sync.calls_a_day}, {sync.passes} passes, {len(sync.judge.delivered)} versions"
    print(f"{name}: {figures}")  # noqa: T201 - these figures are asked for
    assert sync.passes >= (5 if CASES[name].calls_a_day < 10 else 15)
    assert len(sync.judge.delivered) > 150


_SINCE = {"dates": {"changed": {"from": "since"}}}
_BEHIND = {"dates": {"changed": {"from": "behind_day", "as": "date", "from_is": "exclusive"}}}
_STATUS = {"where": {"kind": "params", "fields": {"status": {"type": "text", "operators": {"=": "status"}}}}}
_FILTER_FIELDS = {
    "status": {"type": "text", "operators": ["="]},
    "changed": {"type": "date", "operators": [">=", "<="]},
}
_FILTER = {"where": {"kind": "odata", "fields": _FILTER_FIELDS}}
_OPEN = "status = 'open'"
ASKINGS = {
    "since a moment": Asking(_SINCE, told=("since",)),
    "behind a day": Asking(_BEHIND, told=("behind_day",)),
    "where, by us": Asking(where=_OPEN),
    "where, by the vendor": Asking(_STATUS, where=_OPEN, told=("status",)),
    "both": Asking({**_SINCE, **_STATUS}, where=_OPEN, told=("since", "status")),
    "query": Asking(_FILTER, where=_OPEN, is_query=True, told=("$filter",)),
}


@pytest.mark.parametrize("name", ["late commits", "all of it in three days"])
@pytest.mark.parametrize("asking", ASKINGS.values(), ids=ASKINGS)
def test_a_month_is_exact_where_the_vendor_is_asked_for_less(
    make_engine: Callable[..., Engine], name: str, asking: Asking
) -> None:
    sync = DailySync(make_engine(checkpoint_s=0.0001), CASES[name], seed=hash_of(name, 0.0), asking=asking)
    for _ in range(DAYS):
        sync.day()
    assert sync.passes >= 5
    assert len(sync.judge.delivered) > 100
    assert all(sync.vendor.asked[param] > DAYS / 2 for param in asking.told)


def hash_of(name: str, checkpoint_s: float) -> int:
    """A seed of its own for each, the same each time."""
    return sum(name.encode()) + int(checkpoint_s * 1e6)
