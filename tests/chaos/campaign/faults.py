"""What strikes: one function a fault. Each returns how many strikes really happened, and begins its measurement."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any

import httpx

from tests.chaos.campaign.arena import Arena
from tests.chaos.campaign.recovery import claimed, committed_again, committed_by_another
from tests.chaos.campaign.watch import Held, Standing, is_frozen
from tests.fakes import sabotage
from tests.fixtures.customer import Submission
from tests.fixtures.stack import Kept
from tests.fixtures.waiting import wait_until

Strike = Callable[[Arena], int]

FREEZES_AT_ONCE = 2
FREEZE_STEPS = ("fetch.before", "put.before", "advance.before")
"""A zombie that wakes there calls the vendor, writes an object, commits."""
CUT_STATEMENTS = {
    "checkpoint": "insert into segments",
    "COMMIT": "COMMIT",
    "claim": "claim = claim + 1, worker_id",
    "hand-back": "set lease_expires_at = null, worker_id = null",
    "step of an upload": "insert into upload_rows",
}
_REFUSALS = 10
_PATIENCE_S = 30.0
_TAKE_OVER_S = 60.0
"""One that froze inside a transaction keeps its row locked until PostgreSQL ends the idle session, after 30 s."""


@dataclass(frozen=True)
class Fault:
    """`name` is how tallies and reports call it."""

    name: str
    strike: Strike
    recovery: str = ""
    """What each strike measures."""


# Processes ------------------------------------------------------------------------------------------------------------


def kill_child(arena: Arena) -> int:
    """One child of a prefork pool, in the middle of a leg."""
    pids = sorted({each.pid for each in arena.running()})
    pid = arena.dice.choice(pids)
    assert pid not in {kept.process.pid for kept in arena.workers}
    since = time.monotonic()
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    lost = [each for each in arena.watch.held() if each.pid == pid]
    arena.measure_loss(since, lost)
    return len(lost)


def kill_worker(arena: Arena) -> int:
    """A whole worker: its process group, with all children where there are any."""
    kept = arena.dice.choice(_busy(arena))
    before = arena.held_in_group(kept)  # children that are gone cannot be told to have been of this group
    pids = {each.pid for each in before}
    since = time.monotonic()
    kept.process.kill()
    lost = [each for each in arena.watch.held() if each.pid in pids]
    arena.measure_loss(since, lost)
    return 1 if lost else 0


def _busy(arena: Arena) -> list[Kept]:
    """Workers that hold something and run."""
    running = arena.running()
    return [kept for kept in arena.workers if any(_is_of(kept, each) for each in running)]


def _is_of(kept: Kept, held: Held) -> bool:
    with suppress(ProcessLookupError):
        return os.getpgid(held.pid) == kept.process.pid
    return False


def freeze_workers(arena: Arena) -> int:
    """Whole workers stand still at any moment, past their leases; then they wake. Counts those that were replaced."""
    busy = _busy(arena)
    chosen = arena.dice.sample(busy, min(FREEZES_AT_ONCE, len(busy)))
    since = time.monotonic()
    for kept in chosen:
        kept.process.freeze()
    return _outlive(arena, chosen, since)


def freeze_at_step(arena: Arena) -> int:
    """A worker stands still right before it calls, stores or commits."""
    armed = [
        arena.stack.arm(step, role=sabotage.WORKER, action="stop", at=arena.dice.randint(1, 3))
        for step in arena.dice.sample(FREEZE_STEPS, FREEZES_AT_ONCE)
    ]
    wait_until(lambda: not any(path.exists() for path in armed), "workers to freeze at a step", _PATIENCE_S)
    frozen = [kept for kept in arena.workers if is_frozen(kept.process.pid)]
    return _outlive(arena, frozen, time.monotonic())


def _outlive(arena: Arena, frozen: Sequence[Kept], since: float) -> int:
    """Wake them when somebody else holds what they held, or has gone on with it. How many of them held something."""
    is_late = arena.dice.choice((claimed, committed_by_another))
    held = {kept.process.pid: arena.held_in_group(kept) for kept in frozen}
    before = {each.slice_id: Standing(each.claim, 0, False, 0) for group in held.values() for each in group}

    arena.recoveries.begin("worker frozen", since, before, committed_by_another)

    def taken_over() -> bool:
        return all(is_late(before[slice_id], now) for slice_id, now in arena.watch.standings(before).items())

    try:
        wait_until(taken_over, "others to take over from the frozen", _TAKE_OVER_S)
    finally:
        for kept in frozen:
            kept.process.thaw()
    return sum(bool(group) for group in held.values())


def replace_worker(arena: Arena) -> int:
    """A deployment: a new worker starts, the oldest is told to stop and hands back what it holds."""
    arena.start_worker().process.wait_for_log("ready.")
    kept = arena.workers.pop(0)
    busy = bool(arena.held_in_group(kept))
    since = time.monotonic()
    code = arena.stack.let_go(kept).terminate(30)
    assert code == 0, f"a worker that was told to stop ended with {code}"
    arena.recoveries.add("worker stopped", time.monotonic() - since)
    return int(busy)


def kill_web(arena: Arena) -> int:
    """The API dies in the middle of a submission; the same key sent again is the same job."""
    customer, web = arena.stack.customer, arena.stack.web
    draft = arena.workload.draw()
    submission = customer.prepare(draft.pop("object_name"), **draft)
    answers: list[httpx.Response] = []
    sender = Thread(target=_send_once, args=(arena, submission, answers))
    arena.stack.pg_proxy.delay_s = 0.003  # the moment to strike at is too short otherwise
    sender.start()
    arena.wait(arena.dice.uniform(0.01, 0.15))
    web.kill()
    arena.stack.pg_proxy.delay_s = 0.0
    sender.join()
    if not answers:
        arena.notes["submissions that stood although the API died before its answer"] += arena.watch.has_job(
            submission.key
        )
    job = arena.workload.add(customer.send(submission))
    again = customer.send(submission)
    assert again.id == job.id, f"two jobs of one key: {job.id} and {again.id}"
    return 0 if answers else 1


def _send_once(arena: Arena, submission: Submission, answers: list[httpx.Response]) -> None:
    options: dict[str, Any] = submission.options
    with suppress(httpx.TransportError):
        answers.append(arena.stack.customer.call("POST", "/bulk/download", submission.authorization, **options))


# Servers --------------------------------------------------------------------------------------------------------------


def flush_broker(arena: Arena) -> int:
    """Every queue is wiped while the server lives on."""
    for _ in range(2):
        arena.workload.submit()
    due = arena.watch.standings(arena.watch.due())
    since = time.monotonic()
    arena.stack.valkey.flush()
    arena.recoveries.begin("broker flushed", since, due, claimed)
    return 1


def kill_broker(arena: Arena) -> int:
    """The server dies and comes back empty; meanwhile jobs are submitted."""
    arena.stack.valkey.kill()
    jobs = [arena.workload.submit() for _ in range(3)]
    arena.wait(arena.dice.uniform(0.2, 2.0))
    arena.stack.valkey.start()
    since = time.monotonic()
    due = {*arena.watch.due(), *arena.watch.slices_of([job.id for job in jobs])}
    arena.recoveries.begin("broker back", since, arena.watch.standings(due), claimed)
    arena.wait_for_recoveries()
    return 1


def half_open_broker(arena: Arena) -> int:
    """Every open link to the broker swallows what is sent, without a word."""
    proxy = arena.stack.broker_proxy
    consumers = len(arena.workers) + 1
    # Idle links of before are noticed only when somebody uses them; those that consume must be sound again.
    wait_until(lambda: proxy.sound_count >= 2 * consumers, "consumers to be connected", _PATIENCE_S)
    since = time.monotonic()
    struck = proxy.blackhole()
    jobs = [arena.workload.submit() for _ in range(2)]
    arena.measure_claims("broker half-open", since, jobs)
    arena.wait_for_recoveries()
    return 1 if struck >= consumers else 0


def restart_postgres(arena: Arena) -> int:
    """`pg_ctl restart -m immediate`: every session dies without a word."""
    running = arena.watch.started()
    arena.stack.pg.restart_immediately()
    since = time.monotonic()
    arena.recoveries.begin("PostgreSQL back", since, arena.watch.standings(running), committed_again)
    arena.wait_for_recoveries()
    return 1


def cut_reply(statement: str) -> Strike:
    """A statement that commits is carried out and its reply is lost with the connection: the doubt at COMMIT."""

    def strike(arena: Arena) -> int:
        proxy = arena.stack.pg_proxy
        before = len(proxy.cuts)
        proxy.cut_replies(CUT_STATEMENTS[statement])
        wait_until(lambda: len(proxy.cuts) > before, f"a {statement} to be cut", _PATIENCE_S)
        return 1

    return strike


# Storage --------------------------------------------------------------------------------------------------------------


def break_storage(error: str) -> Strike:
    """Writes fail in their middle until some have, then the disk is well again. ENOSPC: it fills up first."""

    def strike(arena: Arena) -> int:
        event = f"refused {error}"
        before = arena.stack.sabotage_count(event)
        holds = sabotage.stored_bytes(arena.stack.storage) + 20_000 if error == "ENOSPC" else None
        broken = sabotage.break_disk(arena.stack.sabotage, error, holds_bytes=holds)
        try:
            wait_until(
                lambda: arena.stack.sabotage_count(event) >= before + _REFUSALS,
                f"writes to fail with {error}",
                _PATIENCE_S,
            )
        finally:
            broken.unlink()
        back = arena.watch.standings(arena.watch.started())
        arena.recoveries.begin("storage back", time.monotonic(), back, committed_again)
        return 1

    return strike


# What goes on all the time: strikes are counted, not made -------------------------------------------------------------


def meter(name: str, total: Callable[[Arena], int]) -> Fault:
    """A fault that happens by itself: `total` tells how often so far."""

    def strike(arena: Arena) -> int:
        arena.wait(0.2)
        return total(arena) - arena.tallies[name].counted - arena.tallies[name].wasted

    return Fault(name, strike)


def vendor_fault_count(arena: Arena) -> int:
    return sum(
        count
        for job in list(arena.workload.jobs.values())
        for name, count in dict(job.account.counters).items()
        if name.startswith("fault_")
    )


def vendor_call_count(arena: Arena) -> int:
    return sum(job.account.calls for job in list(arena.workload.jobs.values()))
