"""The thread beside a leg: order, bounded waiting, and what follows a failure."""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from app.services.lane import Lane
from tests.fixtures.waiting import wait_until


@pytest.fixture(name="lane")
def make_lane() -> Iterator[Lane]:
    lane = Lane(100)
    yield lane
    lane.close()


def refuse() -> None:
    raise OSError("the disk is gone")


def test_steps_run_in_order_in_one_other_thread(lane: Lane) -> None:
    ran: list[tuple[int, int]] = []
    for number in range(50):
        lane.add(lambda number=number: ran.append((number, threading.get_ident())), 10)  # type: ignore[misc]
    assert lane.ask(lambda: len(ran)).result(10) == 50
    assert [number for number, _ in ran] == list(range(50))
    assert len({thread for _, thread in ran} - {threading.get_ident()}) == 1


def test_the_giver_waits_while_too_much_waits_for_its_turn(lane: Lane) -> None:
    gate, ran = threading.Event(), list[int]()
    lane.add(lambda: None if gate.wait(30) else refuse(), 60)

    def give() -> None:
        lane.add(lambda: ran.append(1), 40)
        lane.add(lambda: ran.append(2), 1)
        ran.append(3)

    giver = threading.Thread(target=give)
    giver.start()
    wait_until(lambda: lane._waiting_bytes == 40, "the giver to wait for the first step")
    assert ran == []
    gate.set()
    giver.join(10)
    assert lane.ask(lambda: sorted(ran)).result(10) == [1, 2, 3]


def test_a_step_larger_than_all_room_runs_alone(lane: Lane) -> None:
    ran: list[int] = []
    lane.add(lambda: ran.append(1), 1000)
    lane.add(lambda: ran.append(2), 1000)
    assert lane.ask(lambda: list(ran)).result(10) == [1, 2]


def test_nothing_runs_behind_a_failed_step_and_everybody_is_told(lane: Lane) -> None:
    ran: list[int] = []
    lane.add(refuse, 60)
    asked = lane.ask(lambda: ran.append(1))
    with pytest.raises(OSError, match="disk is gone"):
        asked.result(10)
    for _ in range(2):
        with pytest.raises(OSError, match="disk is gone"):
            lane.ask(lambda: ran.append(2)).result(10)
    with pytest.raises(OSError, match="disk is gone"):
        lane.add(lambda: ran.append(3), 60)
    assert ran == []


def test_closing_lets_the_running_step_end_and_forgets_the_others() -> None:
    lane, begun, gate, ran = Lane(100), threading.Event(), threading.Event(), list[int]()

    def slow() -> None:
        begun.set()
        gate.wait(30)
        ran.append(1)

    lane.add(slow, 10)
    forgotten = lane.ask(lambda: ran.append(2))
    assert begun.wait(10)
    closer = threading.Thread(target=lane.close)
    closer.start()
    with pytest.raises(CancelledError):
        forgotten.result(10)
    gate.set()
    closer.join(10)
    assert ran == [1]
