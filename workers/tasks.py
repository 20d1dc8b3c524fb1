"""The tasks: a few lines each over a service. A message carries a row's id and is only a hint."""

from __future__ import annotations

from app.enqueue import TaskName
from app.services.deliver import deliver
from app.services.download import run_leg
from workers import memory, runtime
from workers.celery_app import celery


@celery.task(name=TaskName.DOWNLOAD_LEG.value)
def download_leg(slice_id: int) -> None:
    """Work on a slice for one leg, if it is still due."""
    current = runtime.start_runtime()
    run_leg(current.context, slice_id, worker_id=current.worker_id, is_stopping=runtime.is_stopping)
    memory.give_back()


@celery.task(name=TaskName.DELIVER_CALLBACK.value)
def deliver_callback(delivery_id: int) -> None:
    """Make one attempt of a callback, if it is still due."""
    current = runtime.start_runtime()
    deliver(current.context, delivery_id, current.worker_id)


@celery.task(name=TaskName.PUSH_OUTPUT.value)
def push(push_id: int) -> None:
    """Make one attempt to push an output, if it is still due."""
    from app.services.push import push_output  # with what renders results: 2 MB that most workers do without

    current = runtime.start_runtime()
    push_output(current.context, push_id, worker_id=current.worker_id, is_stopping=runtime.is_stopping)
    memory.give_back()
