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
    runtime.start_runtime(celery, concurrency=1, download_slots=_download_slots(1))


@signals.celeryd_after_setup.connect
def _start_in_main(instance: Any, **_: Any) -> None:
    """The threads and solo pools have no children: the main process does the work."""
    if instance.pool_cls.__module__ == "celery.concurrency.prefork":  # importing it for its class costs a megabyte
        return
    concurrency = instance.concurrency
    runtime.start_runtime(celery, concurrency=concurrency, download_slots=_download_slots(concurrency))


def _download_slots(concurrency: int) -> int:
    """Legs that the sweeper may count on: none where only other queues are consumed."""
    return concurrency if QueueName.DOWNLOADS.value in celery.amqp.queues.consume_from else 0


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    runtime.ask_to_stop()


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    runtime.stop_runtime()
