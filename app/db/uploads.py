"""Statements on table uploads: what an upload job reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.db.pool import Connection, as_json


@dataclass(frozen=True)
class Upload:
    """One row: the stored file of a job."""

    job_id: int
    object_key: str
    input_bytes: int
    form: dict[str, Any] | None = None
    """How the file is written, once the first leg has looked at it."""
    source_job_id: int | None = None
    """The job whose failed rows these are."""
    retried_to: int = 0
    """Its failed rows up to this number were given to another job."""
    uncertain_retried_to: int = 0
    """Of these, the rows that may have been taken."""


_COLUMNS = "job_id, object_key, input_bytes, form, source_job_id, retried_to, uncertain_retried_to"


def insert(conn: Connection, upload: Upload) -> None:
    """Note the file of a new job, in the transaction that makes the job."""
    conn.execute(
        "insert into uploads (job_id, object_key, input_bytes, form, source_job_id) values (%s, %s, %s, %s, %s)",
        (
            upload.job_id,
            upload.object_key,
            upload.input_bytes,
            upload.form and as_json(upload.form),
            upload.source_job_id,
        ),
    )


def find(conn: Connection, job_id: int) -> Upload | None:
    """The file of a job; None for a download."""
    row = conn.execute(f"select {_COLUMNS} from uploads where job_id = %s".encode(), (job_id,)).fetchone()
    return None if row is None else Upload(**row)


def set_form(conn: Connection, job_id: int, form: dict[str, Any]) -> None:
    """Keep what was found out of the file's head, so that every leg reads it alike."""
    conn.execute("update uploads set form = %s where job_id = %s", (as_json(form), job_id))


def note_retry(conn: Connection, job_id: int, to: int, *, is_uncertain_too: bool) -> None:
    """Another job has taken over the failed rows up to number `to`, and the uncertain ones if they were asked for."""
    conn.execute(
        "update uploads set retried_to = %(to)s,"
        " uncertain_retried_to = case when %(uncertain)s then %(to)s else uncertain_retried_to end"
        " where job_id = %(job)s",
        {"job": job_id, "to": to, "uncertain": is_uncertain_too},
    )


def find_retries(conn: Connection, job_id: int) -> list[int]:
    """The jobs that took over failed rows of this one."""
    rows = conn.execute("select job_id from uploads where source_job_id = %s order by job_id", (job_id,)).fetchall()
    return [row["job_id"] for row in rows]
