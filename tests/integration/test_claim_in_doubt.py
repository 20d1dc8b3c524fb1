"""A claim whose reply is lost: asked again, by the same worker, however PostgreSQL took the first one."""

from typing import Any

import pytest

from app.db import slices
from app.db.slices import Claim
from app.errors import DatabaseUnavailableError
from app.services import lease
from tests.fakes.engine import Engine

WORKER = 7


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_PAUSE_S", 0.0)


def ask(engine: Engine, job_id: int) -> Claim | None:
    slice_id = engine.slice_of(job_id)
    return lease.claim_slice(engine.ctx.db, slice_id, worker_id=WORKER, lease_s=30, is_stopping=lambda: False)[0]


def answering(monkeypatch: pytest.MonkeyPatch, *faults: str) -> list[bool]:
    """The `again` of each statement; the first ones are disturbed as said: lost, late or unsent."""
    asked: list[bool] = []
    claim, left = slices.claim, list(faults)

    def disturbed(conn: Any, slice_id: int, *, again: bool = False, **named: Any) -> Claim | None:
        asked.append(again)
        fault = left.pop(0) if left else ""
        if fault == "skipped":
            return None
        found = claim(conn, slice_id, again=again, **named)
        if fault == "lost":
            raise DatabaseUnavailableError("the reply is lost")
        return found

    monkeypatch.setattr(slices, "claim", disturbed)
    return asked


def test_a_claim_that_stands_without_its_holder_is_replaced(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = engine.submit()
    asked = answering(monkeypatch, "lost")
    found = ask(engine, job_id)
    assert found is not None
    assert (found.number, asked) == (2, [False, True])


def test_a_claim_that_is_still_being_made_is_waited_for(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = engine.submit()
    asked = answering(monkeypatch, "lost", "skipped")
    found = ask(engine, job_id)
    assert found is not None
    assert (found.number, asked) == (2, [False, True, True])


def test_nothing_is_in_doubt_where_nothing_was_sent(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread of the same process may hold the slice: it must not be fenced for a connection that failed."""
    job_id = engine.submit()
    held = ask(engine, job_id)
    assert held is not None
    connection = engine.ctx.db.connection
    failures = [DatabaseUnavailableError("no connection")]

    def unreachable() -> Any:
        if failures:
            raise failures.pop()
        return connection()

    monkeypatch.setattr(engine.ctx.db, "connection", unreachable)
    assert ask(engine, job_id) is None
    assert engine.slice(job_id)["claim"] == held.number
