"""The campaign's own arithmetic: what counts as a strike, what makes a campaign red, what a seed repeats."""

import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.chaos.campaign import page
from tests.chaos.campaign.arena import AT_LEAST_RUNNING, Arena, Tally
from tests.chaos.campaign.faults import Fault
from tests.chaos.campaign.judgement import MARKS, percentile, problems_of, short_recoveries
from tests.chaos.campaign.phases import PHASES, PRODUCTION_TIMES, RECOVERIES
from tests.chaos.campaign.recovery import claimed, committed_again, committed_by_another
from tests.chaos.campaign.report import phase_lines, recovery_rows, summary_lines
from tests.chaos.campaign.result import PhaseResult
from tests.chaos.campaign.run import own_mistakes
from tests.chaos.campaign.steps import STEP_NAMES, UPLOAD_STEP_NAMES
from tests.chaos.campaign.striking import Plan, one_by_one
from tests.chaos.campaign.upload_phases import UPLOADS
from tests.chaos.campaign.uploads import Uploads
from tests.chaos.campaign.watch import Standing, Watch
from tests.chaos.campaign.workload import Shape, Workload
from tests.fakes.audit import Audit
from tests.fakes.checker import Counts
from tests.fakes.row_counts import RowCounts
from tests.fakes.sabotage import DELIVERY_STEPS, LEG_STEPS, SWEEPER_STEPS, UPLOAD_STEPS
from tests.fixtures import uploader
from tests.fixtures.stack import Stack
from tests.fixtures.vendor import KINDS

WHOLE = Counts(ok=10, lost=0, duplicated=0, unexpected=0, disordered=0)


def result(name: str = "phase", *, counts: Counts = WHOLE, is_production: bool = False, **named: Any) -> PhaseResult:
    return PhaseResult(name, "a title", is_production, {}, audit=Audit(counts=counts), **named)


class StillArena(Arena):
    """No stack: so many jobs run as the test says, one number for each look."""

    def __init__(self, *running: int, **demanded: int) -> None:
        self.tallies = {name: Tally(count) for name, count in demanded.items()}
        self.dice = random.Random(1)
        self._running = list(running)

    def gather(self, *, more: int = 0) -> list[Any]:
        assert not more
        return [None] * self._running.pop(0)

    def wait(self, seconds: float) -> None:
        pass


def plan(**faults: Any) -> Plan:
    return Plan({Fault(name, strike): 0 for name, strike in faults.items()}, 0.0, time.monotonic() + 60)


# Strikes --------------------------------------------------------------------------------------------------------------


def test_a_strike_counts_only_while_ten_jobs_run() -> None:
    arena = StillArena(AT_LEAST_RUNNING, AT_LEAST_RUNNING - 1, AT_LEAST_RUNNING, kill=2)
    one_by_one(arena, plan(kill=lambda _: 1))
    assert arena.tallies["kill"] == Tally(2, counted=2, wasted=1)


def test_a_strike_that_met_nobody_is_made_again() -> None:
    outcomes = iter([0, 1, 0, 1])
    arena = StillArena(*[20] * 4, kill=2)
    one_by_one(arena, plan(kill=lambda _: next(outcomes)))
    assert arena.tallies["kill"].counted == 2
    assert list(outcomes) == []


def test_every_fault_strikes_until_it_has_struck_often_enough() -> None:
    arena = StillArena(*[20] * 5, rare=1, often=4)
    one_by_one(arena, plan(rare=lambda _: 1, often=lambda _: 1))
    assert [tally.counted for tally in arena.tallies.values()] == [1, 4]


def test_a_phase_whose_time_is_over_misses_its_strikes() -> None:
    arena = StillArena(kill=1)
    one_by_one(arena, Plan({Fault("kill", lambda _: 1): 1}, 0.0, time.monotonic() - 1))
    assert arena.tallies["kill"].is_missed


# What the issue asks for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("worker child killed", 100),
        ("worker process killed", 100),
        ("worker group killed", 20),
        ("broker flushed", 10),
        ("broker killed, back empty", 10),
        ("broker links half-open", 10),
        ("PostgreSQL restarted at once", 10),
        ("reply of COMMIT cut", 20),
        ("reply of checkpoint cut", 20),
        ("worker frozen", 20),
        ("storage: EACCES", 10),
        ("storage: ENOSPC", 10),
        ("worker replaced (SIGTERM)", 20),
        ("API killed in a submission", 10),
    ],
)
def test_the_table_holds_the_counts_that_are_demanded(words: str, count: int) -> None:
    counts = [phase.strikes for phase in PHASES if phase not in RECOVERIES]
    planned = sum(number for strikes in counts for fault, number in strikes.items() if fault.name.startswith(words))
    assert planned >= count


def test_ten_deaths_are_demanded_at_each_step() -> None:
    steps = next(phase for phase in PHASES if phase.name == "steps").strikes
    assert set(STEP_NAMES.values()) == {
        *(("worker", step) for step in (*LEG_STEPS, *DELIVERY_STEPS)),
        *(("sweeper", step) for step in SWEEPER_STEPS),
    }
    assert {fault.name: count for fault, count in steps.items()} == dict.fromkeys(STEP_NAMES, 10)


def test_uploads_are_struck_as_often_as_issue_5_demands() -> None:
    strikes = {phase.name: {fault.name: count for fault, count in phase.strikes.items()} for phase in UPLOADS}
    assert strikes["upload-workers"] == {"worker process killed": 50, "worker frozen past its lease": 5}
    assert set(UPLOAD_STEP_NAMES.values()) == {("worker", step) for step in UPLOAD_STEPS}
    assert strikes["upload-steps"] == dict.fromkeys(UPLOAD_STEP_NAMES, 5)
    assert strikes["upload-vendor"]["faulty vendor answer"] >= 500
    assert all(phase.settings["HAULAGE_UPLOAD_CALLS"] == str(uploader.CALLS) for phase in UPLOADS)


def test_recovery_is_measured_with_the_products_own_settings_and_often_enough() -> None:
    measured = {fault.recovery: count for phase in RECOVERIES for fault, count in phase.strikes.items()}
    assert all(phase.times is PRODUCTION_TIMES and not phase.settings for phase in RECOVERIES)
    assert PRODUCTION_TIMES == {}
    assert measured == {mark.kind: 30 for mark in MARKS}


def test_names_of_phases_and_of_faults_within_a_phase_are_different() -> None:
    assert len({phase.name for phase in (*PHASES, *UPLOADS)}) == len(PHASES) + len(UPLOADS)
    for phase in (*PHASES, *UPLOADS):
        assert len({fault.name for fault in phase.strikes}) == len(phase.strikes)


def test_a_mistake_that_the_product_survived_is_found_in_its_logs(tmp_path: Path) -> None:
    honest = '{"event": "leg.lost_claim", "reason": "a job that said leg.failed"}\n'
    (tmp_path / "worker-1.log").write_text(honest)
    assert list(own_mistakes(tmp_path)) == []
    (tmp_path / "worker-2.log").write_text(honest + 2 * '{"event": "leg.failed", "level": "error"}\n')
    assert list(own_mistakes(tmp_path)) == ["2 times leg.failed in worker-2.log"]


# Recovery -------------------------------------------------------------------------------------------------------------

BEFORE = Standing(claim=3, sequence=5, is_over=False, committed_claim=3)


@pytest.mark.parametrize(
    ("now", "by_another", "again", "is_claimed"),
    [
        (BEFORE, False, False, False),
        (Standing(3, 6, False, 3), False, True, False),
        (Standing(4, 5, False, 3), False, False, True),
        (Standing(4, 6, False, 4), True, True, True),
        (Standing(4, 5, True, 3), True, True, True),
        (Standing(3, 5, True, 3), False, True, False),
    ],
    ids=["nothing", "the dead one's last commit", "claimed only", "committed", "ended", "ended by itself"],
)
def test_what_counts_as_back(now: Standing, *, by_another: bool, again: bool, is_claimed: bool) -> None:
    assert (committed_by_another(BEFORE, now), committed_again(BEFORE, now), claimed(BEFORE, now)) == (
        by_another,
        again,
        is_claimed,
    )


@pytest.mark.parametrize(
    ("count", "share", "value"), [(1, 0.5, 1), (2, 0.5, 1), (3, 0.5, 2), (30, 0.99, 30), (100, 0.99, 99), (200, 1, 200)]
)
def test_percentiles_are_nearest_ranks(count: int, share: float, value: int) -> None:
    values = [float(number) for number in range(count, 0, -1)]
    assert percentile(values, share) == value


def _measured(kind: str, *samples: float) -> PhaseResult:
    return result(is_production=True, promised=frozenset({kind}), samples={kind: list(samples)})


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.kind)
def test_one_slow_recovery_of_thirty_misses_the_mark(mark: Any) -> None:
    assert list(short_recoveries(_measured(mark.kind, *[mark.required_s] * 30), 1.0)) == []
    [problem] = short_recoveries(_measured(mark.kind, *[0.1] * 29, mark.required_s + 0.1), 1.0)
    assert mark.kind in problem


def test_too_few_samples_are_a_problem_of_their_own() -> None:
    [problem] = short_recoveries(_measured("broker back", *[0.1] * 29), 1.0)
    assert "29 of 30 samples" in problem
    assert list(short_recoveries(_measured("broker back", *[0.1] * 3), 0.1)) == []


def test_short_times_promise_nothing() -> None:
    assert list(short_recoveries(result(promised=frozenset({"broker back"})), 1.0)) == []


# Judgement and text ---------------------------------------------------------------------------------------------------


def test_a_campaign_without_a_problem_is_green() -> None:
    assert problems_of([result(), result()]) == []
    assert summary_lines([result()], [], seed=1, seconds=60)[-1].startswith("green")


@pytest.mark.parametrize("damage", range(1, 5))
def test_any_damaged_record_makes_it_red(damage: int) -> None:
    counts = Counts(*(int(place == damage) for place in range(5)))
    [problem] = problems_of([result(), result("other", counts=counts)])
    assert problem.startswith("other:")
    assert summary_lines([], [problem], seed=1, seconds=60)[-1] == "RED"


@pytest.mark.parametrize("damage", ["doubled", "missing", "untold"])
def test_any_damaged_row_makes_it_red(damage: str) -> None:
    bad = result("uploads")
    bad.audit.uploads = RowCounts(rows=10, good=9, uncertain=1) + RowCounts(**{damage: 1})
    [problem] = problems_of([result(), bad])
    assert problem.startswith("uploads: rows 10:")
    bad.audit.uploads = RowCounts(rows=10, good=9, uncertain=1)
    assert problems_of([bad]) == []


def test_any_problem_of_a_phase_makes_it_red() -> None:
    assert problems_of([result("first", problems=["only 3 of 10 strikes"])]) == ["first: only 3 of 10 strikes"]


def test_the_lines_of_a_phase_tell_counts_calls_callbacks_and_problems() -> None:
    told = result(problems=["a job did not end"], seconds=12.0)
    told.tallies["broker flushed"] = Tally(10, counted=9, wasted=2)
    told.audit = Audit(counts=WHOLE, job_count=3, run_count=4, callback_count=4, call_count=50, allowed_call_count=60)
    text = "\n".join(phase_lines(told))
    for words in (
        "9 of 10 broker flushed, 2 more not counted",
        "ok 10, lost 0, duplicated 0, unexpected 0, disordered 0, in 3 jobs",
        "50 vendor calls of 60 allowed",
        "4 ids for 4 runs",
        "a job did not end",
    ):
        assert words in text


def test_the_lines_of_a_phase_of_uploads_tell_its_rows() -> None:
    told = result()
    told.audit.uploads = RowCounts(rows=100, good=90, failed=4, uncertain=6, lost_hold=6, most_in_flight=5)
    text = "\n".join(phase_lines(told))
    assert "100: written 90, failed 4, uncertain 6 (6 of them in flight when a worker was lost, at most 5" in text
    assert "apiLimit" not in text


def test_row_counts_add_up() -> None:
    one, other = (
        RowCounts(rows=3, good=2, uncertain=1, most_in_flight=7),
        RowCounts(rows=4, missing=1, most_in_flight=5),
    )
    assert one + other == RowCounts(rows=7, good=2, uncertain=1, missing=1, most_in_flight=7)


def test_recoveries_of_both_settings_stand_apart() -> None:
    rows = recovery_rows(
        [result(samples={"worker killed": [1.0, 2.0]}), result(is_production=True, samples={"worker killed": [3.0]})]
    )
    assert [row[:3] for row in rows] == [("worker killed", "production", "1"), ("worker killed", "short", "2")]


def test_the_page_keeps_what_people_wrote(tmp_path: Path) -> None:
    written = tmp_path / "chaos.md"
    written.write_text(f"# Chaos\n\nBy hand.\n\n{page.HEADING}\n\nold\n")
    for seed in (41, 42):
        page.write([result()], ["it broke"], seed=seed, seconds=60, path=written)
    text = written.read_text()
    assert text.startswith(f"# Chaos\n\nBy hand.\n\n{page.HEADING}\n")
    assert "old" not in text
    assert "seed 42" in text
    assert "seed 41" not in text
    assert "it broke" in text


def test_the_page_has_a_table_of_its_own_for_uploads(tmp_path: Path) -> None:
    written = tmp_path / "chaos.md"
    written.write_text("")
    uploads = result("upload-workers")
    uploads.audit.uploads = RowCounts(rows=1000, good=990, failed=4, uncertain=6, most_in_flight=5)
    page.write([result("workers"), uploads], [], seed=1, seconds=60, path=written)
    lines = written.read_text().splitlines()
    assert [line.count("|") for line in lines if line.startswith("| workers |")] == [11]
    [row] = [line for line in lines if line.startswith("| upload-workers |")]
    assert "| 1,000 | 990 | 4 | 6 (5) | 0 | 0 | 0 |" in row


# The seed -------------------------------------------------------------------------------------------------------------


def draws(seed: int, count: int = 22) -> list[dict[str, Any]]:
    stack = SimpleNamespace(receiver=SimpleNamespace(url="http://127.0.0.1:1/callback"))
    workload = Workload(
        cast("Stack", stack), Watch(""), random.Random(seed), shape=Shape(pages=(10, 20, 30)), at_once=1
    )
    jobs = []
    for number in range(count):
        jobs.append(workload.draw())
        workload.jobs[number] = cast("Any", None)
    return jobs


def test_a_seed_repeats_the_jobs() -> None:
    assert draws(7) == draws(7)
    assert draws(7) != draws(8)


def test_all_kinds_of_uploads_come_and_a_seed_repeats_them() -> None:
    stack = SimpleNamespace(receiver=SimpleNamespace(url="http://127.0.0.1:1/callback"))

    def drawn(seed: int) -> list[dict[str, Any]]:
        dice = random.Random(seed)
        uploads = Uploads(cast("Stack", stack), Watch(""), dice, shape=Shape(pages=(10, 20)), at_once=1)
        return [uploads.draw() for _ in uploader.KINDS]

    assert drawn(7) == drawn(7)
    assert {each["kind"] for each in drawn(7)} == set(uploader.KINDS)
    assert all(each["callback_url"] for each in drawn(7))


def test_all_page_kinds_come_half_have_a_limit_and_all_a_callback() -> None:
    jobs = draws(7)
    assert sorted(job["object_name"] for job in jobs) == sorted(KINDS * 2)
    assert sum("apiLimit" in job for job in jobs) == len(jobs) / 2
    assert all(job["notificationUrl"] for job in jobs)
