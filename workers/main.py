"""Starts a worker process: `python -m workers.main --queues downloads,pushes`.

Not by Celery's own command line: that loads every installed command, Flower and an interactive shell among them, which
is 20 MB more in each worker.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from celery.utils.nodenames import default_nodename, host_format

from app.enqueue import QueueName
from app.errors import ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until SIGTERM (checkpoint and hand back) or a second one. Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        celery = importlib.import_module(options.app).celery
    except ConfigError as error:
        sys.stderr.write(f"haulage worker: {error.message}\n")
        return 1
    worker = celery.Worker(
        hostname=host_format(default_nodename(options.hostname)),
        queues=options.queues,
        pool_cls=options.pool,
        concurrency=options.concurrency,
        loglevel="INFO",
        without_gossip=True,  # three connections less, and one cause of reconnect bugs (reliability 1.3)
        without_mingle=True,
        task_events=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers.main", description="Run a worker process.")
    parser.add_argument("-A", "--app", default="workers.celery_app", help="module with the Celery application")
    parser.add_argument("--queues", required=True, type=_queues, help=f"what to work on: {', '.join(QueueName)}")
    parser.add_argument("--pool", default="threads", choices=["threads", "prefork", "solo"])
    parser.add_argument("--concurrency", type=int, default=16, help="tasks at once")
    parser.add_argument("--hostname", default="worker@%h", help="name in logs and Flower; %%h is the host")
    return parser


def _queues(text: str) -> str:
    for name in text.split(","):
        if name not in {*QueueName}:
            raise argparse.ArgumentTypeError(f"{name!r} is no queue; accepted, with commas: {', '.join(QueueName)}")
    return text


if __name__ == "__main__":
    sys.exit(main())
