"""Hints on a real broker: sent to the right queue, counted, and refused quickly where there is no broker."""

from collections.abc import Iterator

import pytest

from app.enqueue import QUEUE_OF, Enqueuer, QueueName, TaskName, make_celery
from app.errors import BrokerUnavailableError


@pytest.fixture
def enqueuer(broker_url: str) -> Iterator[Enqueuer]:
    made = Enqueuer(broker_url)
    yield made
    made.close()


@pytest.mark.parametrize("task", TaskName)
def test_a_hint_waits_in_its_tasks_queue(enqueuer: Enqueuer, task: TaskName) -> None:
    queue = QUEUE_OF[task]
    [other] = set(QueueName) - {queue}
    assert enqueuer.depth(queue) == 0, "nobody has used the queue yet"
    for row_id in (1, 2, 3):
        enqueuer.send(task, row_id)
    assert (enqueuer.depth(queue), enqueuer.depth(other)) == (3, 0)


def test_a_hint_carries_an_id_and_nothing_else(broker_url: str, enqueuer: Enqueuer) -> None:
    enqueuer.send(TaskName.DOWNLOAD_LEG, 7)
    with make_celery(broker_url).connection_for_read() as connection:
        message = connection.SimpleQueue(QueueName.DOWNLOADS.value).get(timeout=10)
        message.ack()
    arguments, keywords, _ = message.decode()
    assert (arguments, keywords) == ([7], {})
    assert message.headers["task"] == "download.leg"
    assert message.headers["eta"] is None


def test_a_broker_that_is_down_is_told_and_not_waited_for() -> None:
    enqueuer = Enqueuer("redis://127.0.0.1:1/0")
    with pytest.raises(BrokerUnavailableError):
        enqueuer.send(TaskName.DOWNLOAD_LEG, 7)
    with pytest.raises(BrokerUnavailableError):
        enqueuer.depth(QueueName.DOWNLOADS)
    enqueuer.close()
