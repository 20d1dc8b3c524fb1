"""One Celery task a page: fetch, append, note the progress in PostgreSQL, send the next. See celery_pages."""

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import psycopg
import requests
from celery import Celery

app = Celery("pages", broker=os.environ["RACE_BROKER"])
app.conf.update(task_ignore_result=True, task_acks_late=False, worker_prefetch_multiplier=1)


@lru_cache(maxsize=1)
def _session() -> requests.Session:
    return requests.Session()


@lru_cache(maxsize=1)
def _database() -> psycopg.Connection[Any]:
    return psycopg.connect(os.environ["RACE_DATABASE"], autocommit=True)


@app.task(name="fetch_page")
def fetch_page(url: str, size: int, after: str | None, output: str) -> None:
    """One page; the row's cursor `end` says that it was the last."""
    params = {"limit": str(size), **({"after": after} if after else {})}
    answer = _session().get(f"{url}/cursor/records", params=params, timeout=60)
    answer.raise_for_status()
    page = answer.json()
    with Path(output).open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in page["results"])
    following = page["paging"].get("next", {}).get("after")
    _database().execute("update celery_pages set cursor = %s where id = 1", (following or "end",))
    if following:
        fetch_page.delay(url, size, following, output)
