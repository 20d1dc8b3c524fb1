"""What most services do: one Celery task a page (one worker process, prefork, as its manual says)."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

import psycopg

from tests.benchmarks.contenders.starting_line import Course, take_part


def prepare(course: Course) -> Callable[[], None]:
    os.environ["RACE_BROKER"] = course.options["broker_url"]
    os.environ["RACE_DATABASE"] = course.options["database_url"]
    from tests.benchmarks.contenders.celery_app import app, fetch_page

    connection = psycopg.connect(course.options["database_url"], autocommit=True)
    connection.execute("create table if not exists celery_pages (id int primary key, cursor text)")
    connection.execute("insert into celery_pages values (1, null) on conflict (id) do update set cursor = null")
    module = "tests.benchmarks.contenders.celery_app"
    log = (course.folder / "worker.log").open("wb")
    words = ["-A", module, "worker", "-c", "1", "-l", "INFO", "--without-gossip", "--without-mingle"]
    worker = subprocess.Popen([sys.executable, "-m", "celery", *words], stdout=log, stderr=log)
    while not app.control.inspect(timeout=0.5).ping():
        if worker.poll() is not None:
            raise RuntimeError(f"the worker ended: {(course.folder / 'worker.log').read_text()[-2000:]}")

    def race() -> None:
        fetch_page.delay(course.url, course.size, None, str(course.output))
        while worker.poll() is None:
            row = connection.execute("select cursor from celery_pages where id = 1").fetchone()
            if row and row[0] == "end":
                return
            time.sleep(0.05)
        raise RuntimeError("the worker ended")

    return race


if __name__ == "__main__":
    take_part(prepare)
