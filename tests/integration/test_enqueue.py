"""Hints on a real broker: sent to the right queue, counted, and refused quickly where there is no broker."""

from collections.abc import Iterator

import pytest
import redis

from app.enqueue import QUEUE_OF, Enqueuer, QueueName, TaskName, make_celery
from app.errors import BrokerUnavailableError
from app.local.valkey import ValkeyServer


@pytest.fixture
def enqueuer(broker_url: str) -> Iterator[Enqueuer]:
    made = Enqueuer(broker_url)
    yield made
    made.close()


@pytest.mark.parametrize("task", TaskName)
def test_a_hint_waits_in_its_tasks_queue(enqueuer: Enqueuer, task: TaskName) -> None:
    queue = QUEUE_OF[task]
    other = next(each for each in QueueName if each is not queue)
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


def test_the_queue_can_be_counted_after_a_restart_of_the_broker(valkey_server: ValkeyServer) -> None:
    enqueuer = Enqueuer(valkey_server.url)
    enqueuer.warm_up()
    assert enqueuer.depth(QueueName.DOWNLOADS) == 0
    valkey_server.kill()
    with pytest.raises(BrokerUnavailableError):
        enqueuer.depth(QueueName.DOWNLOADS)
    valkey_server.start()
    enqueuer.send(TaskName.DOWNLOAD_LEG, 7)
    assert enqueuer.depth(QueueName.DOWNLOADS) == 1
    valkey_server.kill()
    valkey_server.start()
    assert enqueuer.depth(QueueName.DOWNLOADS) == 0, "the kept connection is dead, the broker is not"
    enqueuer.close()


def test_counting_the_queue_keeps_one_connection(valkey_server: ValkeyServer) -> None:
    enqueuer = Enqueuer(valkey_server.url)
    with redis.Redis.from_url(valkey_server.url) as client:
        enqueuer.depth(QueueName.DOWNLOADS)
        before = client.info("stats")["total_connections_received"]
        for _ in range(5):
            enqueuer.depth(QueueName.DOWNLOADS)
        assert client.info("stats")["total_connections_received"] == before
    enqueuer.close()


def test_a_broker_that_is_down_is_told_and_not_waited_for() -> None:
    enqueuer = Enqueuer("redis://127.0.0.1:1/0")
    with pytest.raises(BrokerUnavailableError):
        enqueuer.send(TaskName.DOWNLOAD_LEG, 7)
    with pytest.raises(BrokerUnavailableError):
        enqueuer.depth(QueueName.DOWNLOADS)
    with pytest.raises(BrokerUnavailableError):
        enqueuer.warm_up()
    enqueuer.close()
