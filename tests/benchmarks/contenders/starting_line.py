"""A contender's side of a race: get ready, wait for the shot, tell the end, wait until the books are read."""

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Course:
    """What to download and where to. `url`: base URL; the list is at `cursor/records?limit=SIZE&after=TOKEN`."""

    url: str
    size: int
    count: int
    folder: Path
    options: dict[str, str] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        return self.folder / "records.jsonl"

    @property
    def list_url(self) -> str:
        return f"{self.url}/cursor/records?limit={self.size}"


def take_part(prepare: Callable[[Course], Callable[[], None]]) -> None:
    """Run one race. What `prepare` does (imports, connections) is start-up and counts neither as time nor as CPU."""
    given = json.loads(sys.argv[1])
    course = Course(**{**given, "folder": Path(given["folder"])})
    with socket.socket(fileno=int(sys.argv[2])) as referee:
        race = prepare(course)
        referee.sendall(b"r")
        if not referee.recv(1):
            return
        race()
        referee.sendall(b"d")
        referee.recv(1)
