"""The Celery application: `celery -A workers.celery_app worker`. Works with the threads, prefork and solo pools."""

from __future__ import annotations

from typing import Any

from celery import signals

from app.config import load_settings, require
from app.enqueue import QueueName, make_celery
from app.logs import configure_logs
from workers import runtime

_settings = load_settings()
require(_settings, "broker_url")
celery = make_celery(_settings.broker_url)
celery.conf.imports = ("workers.tasks",)


_name = "worker"


@signals.celeryd_init.connect
def _take_name(sender: str, **_: Any) -> None:
    global _name  # noqa: PLW0603 - logging is set up a moment later, and that signal does not tell the name
    _name = sender.partition("@")[0]


@signals.setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    configure_logs(log_format=_settings.log_format, level=_settings.log_level, process=_name)


@signals.worker_process_init.connect
def _start_in_child(**_: Any) -> None:
    """A child of the prefork pool: one leg at a time."""
    _start(1)


@signals.celeryd_after_setup.connect
def _start_in_main(instance: Any, **_: Any) -> None:
    """The threads and solo pools have no children: the main process does the work."""
    if instance.pool_cls.__module__ == "celery.concurrency.prefork":  # importing it for its class costs a megabyte
        return
    _start(instance.concurrency)


def _start(concurrency: int) -> None:
    """Others may count on the slots of a queue: none where only another one is consumed."""
    slots = {queue: concurrency if queue.value in celery.amqp.queues.consume_from else 0 for queue in QueueName}
    runtime.start_runtime(
        celery,
        concurrency=concurrency,
        download_slots=slots[QueueName.DOWNLOADS],
        callback_slots=slots[QueueName.CALLBACKS],
    )


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    runtime.ask_to_stop()


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    runtime.stop_runtime()
