"""The Celery application: `celery -A workers.celery_app worker`. Works with the threads, prefork and solo pools."""

from __future__ import annotations

from typing import Any

from celery import signals

from app.config import load_settings, require
from app.enqueue import make_celery
from app.logs import configure_logs
from workers import runtime

_settings = load_settings()
require(_settings, "broker_url")
celery = make_celery(_settings.broker_url)
celery.conf.imports = ("workers.tasks",)


@signals.setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    configure_logs(log_format=_settings.log_format, level=_settings.log_level, process="worker")


@signals.worker_process_init.connect
def _start_in_child(**_: Any) -> None:
    runtime.start_runtime(slots=1)


@signals.worker_ready.connect
def _start_in_main(sender: Any, **_: Any) -> None:
    """The threads pool has no children: the main process does the work."""
    pool = sender.pool
    if pool.__class__.__module__.endswith(("thread", "solo")):
        runtime.start_runtime(slots=pool.limit or 1)


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    runtime.ask_to_stop()


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    runtime.stop_runtime()
