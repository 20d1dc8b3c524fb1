"""Is the file the table? Every record, every field, once, in order."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

_SHOWN = 5


@dataclass(frozen=True)
class Comparison:
    """What was found. `differences` are sentences, at most five."""

    source_count: int
    file_count: int
    duplicate_count: int
    missing_count: int
    differences: list[str]
    sha256: str

    @property
    def exact(self) -> bool:
        same_count = self.source_count == self.file_count
        return same_count and not (self.duplicate_count or self.missing_count or self.differences)


def compare(file: Path, database: Path, table: str, key: str) -> Comparison:
    """Hold the JSON Lines of `file` against the rows of `table` in the order of `key`."""
    digest = hashlib.sha256()
    differences: list[str] = []
    seen: set[Any] = set()
    file_count = source_count = duplicate_count = 0
    lines, rows = _lines(file), _rows(database, table, key)
    for number, (line, row) in enumerate(zip_longest(lines, rows), start=1):
        source_count += row is not None
        if line is None:
            continue
        digest.update(line)
        file_count += 1
        record = _decode(line)
        identity = record.get(key) if isinstance(record, dict) else None
        duplicate_count += identity in seen
        seen.add(identity)
        if record != row and len(differences) < _SHOWN:
            differences.append(f"line {number} is {line[:300].decode(errors='replace')}, the source has {row}")
    missing = sum(row[key] not in seen for row in _rows(database, table, key))
    return Comparison(source_count, file_count, duplicate_count, missing, differences, digest.hexdigest())


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as lines:
        yield from lines


def _decode(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _rows(database: Path, table: str, key: str) -> Iterator[dict[str, Any]]:
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    try:
        cursor = connection.execute(f"select * from {table} order by {key}")  # noqa: S608 - our own names
        names = [column[0] for column in cursor.description]
        for row in cursor:
            yield dict(zip(names, row, strict=True))
    finally:
        connection.close()
