"""Statements on table upload_rows once rows have their verdicts: for those who read them, and for what follows."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.db.pool import Connection, Row
from app.domain.uploads import RowVerdict


@dataclass(frozen=True)
class RowResult:
    """What became of a row. `verdict` None: nothing, so far."""

    number: int
    line: int
    verdict: RowVerdict | None
    vendor_id: str | None
    http_status: int | None
    error_class: str | None
    detail: str | None


@dataclass(frozen=True)
class FailedRow(RowResult):
    """A row whose verdict is a failure, with what was or would have been sent."""

    record: bytes | None = field(repr=False)
    """JSON text; of a row that could not be parsed the beginning of the row as it stands in the file."""
    is_readable: bool
    keyed_by: int | None
    """As of app.db.upload_rows.NewRow."""


_RESULT = "number, line, verdict, vendor_id, http_status, error_class, detail"

# The conditions on the verdict are those of the index upload_rows_failed, word by word. A page ends where its records
# have so many bytes; the length of a value is known without reading it.
_FAILED = f"""
select {_RESULT}, record, attempt_count > 0 or verdict <> 'FAILED' as is_readable, keyed_by from upload_rows
where job_id = %(job)s and number in (
  select number from (
    select number, sum(size) over (order by number) - size as before
    from (select number, coalesce(octet_length(record), 0) as size from upload_rows
      where job_id = %(job)s and number > %(after)s and verdict in ('FAILED', 'UNCERTAIN', 'NOT_SENT')
      order by number limit %(limit)s) as next
  ) as measured where before < %(most_bytes)s)
order by number
"""

_RESULTS = f"""
select {_RESULT} from upload_rows where job_id = %(job)s and number > %(after)s order by number limit %(limit)s
"""


def find_failed(conn: Connection, job_id: int, after: int, limit: int, *, most_bytes: int) -> list[FailedRow]:
    """Rows with a failure behind row `after`, in order: at most `limit`, and as many as their records allow.

    Records have at most `most_bytes` together, unless it is a single one.
    """
    values = {"job": job_id, "after": after, "limit": limit, "most_bytes": most_bytes}
    return [_failed_from(row) for row in conn.execute(_FAILED, values).fetchall()]


def find_results(conn: Connection, job_id: int, after: int, limit: int) -> list[RowResult]:
    """All rows behind row `after`, in order, at most `limit`."""
    rows = conn.execute(_RESULTS, {"job": job_id, "after": after, "limit": limit}).fetchall()
    return [RowResult(**_judged(row)) for row in rows]


def count_open(conn: Connection, job_id: int) -> int:
    """Rows that were read and have no verdict: never more than a leg has in work."""
    row = conn.execute(
        "select count(*)::int as n from upload_rows where job_id = %s and verdict is null", (job_id,)
    ).fetchone()
    assert row is not None
    return int(row["n"])


@dataclass(frozen=True)
class UnsentRow:
    """A row that was read and surely not taken, of a job that has ended."""

    number: int
    line: int
    keyed_by: int | None
    record: bytes = field(repr=False)


def find_unsent(conn: Connection, job_id: int) -> list[int]:
    """The numbers of rows without a verdict, in order: few (see `count_open`)."""
    rows = conn.execute(
        "select number from upload_rows where job_id = %s and verdict is null order by number", (job_id,)
    ).fetchall()
    return [row["number"] for row in rows]


def get_unsent(conn: Connection, job_id: int, number: int) -> UnsentRow | None:
    """One of them; None once it has a verdict. Records may be large: they are not read together."""
    row = conn.execute(
        "select number, line, keyed_by, record from upload_rows"
        " where job_id = %s and number = %s and verdict is null and record is not null",
        (job_id, number),
    ).fetchone()
    return None if row is None else UnsentRow(**{**row, "record": bytes(row["record"])})


def give_away(conn: Connection, job_id: int, text: str) -> int:
    """Rows without a verdict will be sent by another job and never by this one. Returns the number of the last row.

    `text` tells why. The job's counters follow.
    """
    values = {"job": job_id, "text": text}
    conn.execute(
        "with given as (update upload_rows set verdict = 'NOT_SENT', detail = %(text)s"
        " where job_id = %(job)s and verdict is null returning 1), found as (select count(*) as n from given)"
        " update jobs set record_count = record_count + n, failed_count = failed_count + n,"
        " verdict_counts = verdict_counts || jsonb_build_object('unsent', 0,"
        "   'NOT_SENT', coalesce((verdict_counts ->> 'NOT_SENT')::bigint, 0) + n)"
        " from found where jobs.id = %(job)s and n > 0",
        values,
    )
    row = conn.execute("select max(number) as last from upload_rows where job_id = %(job)s", values).fetchone()
    return int(row["last"] or 0) if row is not None else 0


def drop(conn: Connection, job_id: int, limit: int) -> int:
    """Remove rows of a job whose files are gone, at most `limit`. Returns how many."""
    return conn.execute(
        "delete from upload_rows where job_id = %(job)s and number in"
        " (select number from upload_rows where job_id = %(job)s order by number limit %(limit)s)",
        {"job": job_id, "limit": limit},
    ).rowcount


def _judged(row: Row) -> Row:
    return {**row, "verdict": None if row["verdict"] is None else RowVerdict(row["verdict"])}


def _failed_from(row: Row) -> FailedRow:
    record = row["record"]
    return FailedRow(**{**_judged(row), "record": None if record is None else bytes(record)})
