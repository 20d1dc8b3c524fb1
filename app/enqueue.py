"""Task and queue names, the Celery settings, and the sender of hints.

A message is a hint: it carries ids only, may be lost, late or doubled, and nothing depends on it (design 2.1).
"""

from __future__ import annotations

import contextlib
import threading
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kombu import Connection
from kombu.exceptions import OperationalError

from app.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from celery import Celery


class TaskName(StrEnum):
    """Every task; workers register exactly these."""

    DOWNLOAD_LEG = "download.leg"
    DELIVER_CALLBACK = "callback.deliver"
    PUSH_OUTPUT = "push.output"


class QueueName(StrEnum):
    """Every queue; each is consumed by a process of the Procfile."""

    DOWNLOADS = "downloads"
    CALLBACKS = "callbacks"
    PUSHES = "pushes"


QUEUE_OF = {
    TaskName.DOWNLOAD_LEG: QueueName.DOWNLOADS,
    TaskName.DELIVER_CALLBACK: QueueName.CALLBACKS,
    TaskName.PUSH_OUTPUT: QueueName.PUSHES,
}


def make_celery(broker_url: str) -> Celery:
    """The Celery application of workers, Flower and the sender of hints, with the settings of reliability 1."""
    from celery import Celery  # the web processes do without

    celery = Celery("haulage", broker=broker_url)
    celery.conf.update(
        task_routes={task.value: {"queue": queue.value} for task, queue in QUEUE_OF.items()},
        task_default_queue=QueueName.DOWNLOADS.value,
        task_create_missing_queues=True,
        # Early ack: lease and sweeper own recovery. Late ack on Redis doubles tasks and, on 5.7.0, kills the worker
        # when the broker dies (reliability 1.2).
        task_acks_late=False,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        event_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=broker_url.startswith(("redis", "valkey")),
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=20.0,
        worker_hijack_root_logger=False,
        worker_max_tasks_per_child=None,
        worker_send_task_events=True,
        task_send_sent_event=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=2,
        broker_pool_acquire_timeout=2,
        broker_transport_options=_transport_options(broker_url),
        task_publish_retry=False,
        timezone="UTC",
        enable_utc=True,
    )
    return celery


def _transport_options(broker_url: str) -> dict[str, Any]:
    if broker_url.startswith("amqp"):
        return {"confirm_publish": True}
    return {
        "global_keyprefix": "haulage:",
        "socket_connect_timeout": 2,
        "socket_timeout": 5,  # half-open links are noticed in about 15 s (reliability 1.2)
        "health_check_interval": 5,
        "retry_policy": {"max_retries": 0},
        "visibility_timeout": 3600,
    }


_AWAY = "The broker does not answer; work goes on when it is back."


class Enqueuer:
    """Sends hints. Never blocks for long; a broker that is down is an error that callers may ignore."""

    def __init__(self, broker_url: str, celery: Celery | None = None) -> None:
        """`celery`: the application of this process where it has one; else one is made when a hint is sent."""
        self._broker_url = broker_url
        self._given = celery
        self._asking: Connection | None = None
        """Kept for `depth`, which sweepers ask many times a second."""
        self._lock = threading.Lock()

    @cached_property
    def _celery(self) -> Celery:
        return self._given or make_celery(self._broker_url)

    def warm_up(self) -> None:
        """Load and connect what the first hint needs: a quarter of a second. Raises BrokerUnavailableError."""
        celery = self._celery
        celery.finalize()
        _ = (celery.amqp.router, celery.amqp.send_task_message, celery.backend, celery.events.Dispatcher)
        try:
            with celery.producer_or_acquire() as producer:
                producer.connection.ensure_connection(max_retries=1, timeout=2)
                producer.channel.queue_declare(QueueName.DOWNLOADS.value, durable=True, auto_delete=False)
        except (OperationalError, OSError) as error:
            raise BrokerUnavailableError(_AWAY) from error

    def send(self, task: TaskName, row_id: int) -> None:
        """Publish one hint. Raises BrokerUnavailableError within a few seconds when the broker is down."""
        try:
            self._celery.send_task(task.value, args=(row_id,), queue=QUEUE_OF[task].value, retry=False)
        except (OperationalError, OSError) as error:
            raise BrokerUnavailableError(_AWAY) from error

    def depth(self, queue: QueueName) -> int:
        """Messages waiting in `queue`. Raises BrokerUnavailableError."""
        with self._lock:
            if self._asking is not None:
                try:
                    return _depth(self._asking, queue)
                except Exception:  # noqa: BLE001 - the broker was restarted, say; a fresh connection tells the truth
                    self._drop()
            try:
                self._asking = _connect(self._broker_url)
                return _depth(self._asking, queue)
            except (OperationalError, OSError) as error:
                self._drop()
                raise BrokerUnavailableError(_AWAY) from error

    def close(self) -> None:
        """Give back its own connections; only where hints were sent there are any."""
        with self._lock:
            self._drop()
        if self._given is None and "_celery" in self.__dict__:
            self._celery.close()

    def _drop(self) -> None:
        if self._asking is not None:
            with contextlib.suppress(Exception):  # whatever a dead connection has to say
                self._asking.release()
            self._asking = None


def _connect(broker_url: str) -> Connection:
    connection = Connection(broker_url, connect_timeout=2, transport_options=_transport_options(broker_url))
    connection.ensure_connection(max_retries=1, timeout=2)
    return connection


def _depth(connection: Connection, queue: QueueName) -> int:
    channel: Any = connection.default_channel
    # As Celery declares it, and not passively: kombu looks for the queue without its key prefix then, so that on Redis
    # no queue ever exists.
    return int(channel.queue_declare(queue.value, durable=True, auto_delete=False).message_count)
