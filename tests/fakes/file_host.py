"""What the fakes of Dropbox and Box share: a small HTTP server on loopback that keeps contents in files.

They are fakes of the protocols as their makers document them, written by us: nothing here was ever seen to behave as
the real services do in what they do not document.
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request. Names of headers are in small letters."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def document(self) -> Any:
        return json.loads(self.body) if self.body else {}


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Any, status: int = 200, **headers: str) -> Answer:
        """JSON. Underscores in names of headers stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, json.dumps(document).encode(), {"Content-Type": "application/json", **named})


class RefusedError(Exception):
    """Whatever is asked, this is the answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.body!r}")
        self.answer = answer


class FileHost(ABC):
    """`with Fake(folder) as fake:` serves at `fake.url` until the block ends. One request at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._lock = threading.RLock()
        self._lost: dict[str, int] = {}
        self._planned: dict[str, list[Answer]] = {}
        self.asked: list[Asked] = []
        """Every request, in order, with at most the first 1,000 bytes of its body."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.host = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="file host", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @abstractmethod
    def serve(self, asked: Asked) -> Answer:
        """Do what is asked. May raise RefusedError."""

    def lose_answer(self, path_part: str, after: int = 0) -> None:
        """A request whose path has this in it is done, and its answer is not sent; `after`: so many later."""
        self._lost[path_part] = after

    def plan(self, path_part: str, *answers: Answer) -> None:
        """The next requests whose path has this in it are not done, and answered so."""
        self._planned[path_part] = list(answers)

    def calls(self, path_part: str) -> list[Asked]:
        return [asked for asked in self.asked if path_part in asked.path]

    def answer(self, asked: Asked) -> Answer | None:
        """None: the connection is cut instead."""
        with self._lock:
            self.asked.append(Asked(asked.method, asked.path, asked.query, asked.headers, asked.body[:1000]))
            for part, answers in self._planned.items():
                if part in asked.path and answers:
                    return answers.pop(0)
            try:
                answer = self.serve(asked)
            except RefusedError as refused:
                answer = refused.answer
            return None if self._is_lost(asked.path) else answer

    def _is_lost(self, path: str) -> bool:
        for part in [part for part in self._lost if part in path]:
            self._lost[part] -= 1
            if self._lost[part] < 0:
                del self._lost[part]
                return True
        return False

    def new_file(self, content: bytes = b"") -> Path:
        """A file of this fake, outside its tree of names."""
        self._number += 1
        made = self._folder / str(self._number)
        made.write_bytes(content)
        return made


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, self.rfile.read(length))
        answer = self.server.host.answer(asked)
        if answer is None:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_PUT = do_POST = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Quiet."""
