"""Pushing a finished output to a place of the customer's: where to, and what it can come to. No I/O, no clock."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.domain.file_names import PATTERNS, dated
from app.domain.jobs import JobStatus

LONGEST_PATH = 500
_LONGEST_ERROR = 500
JOB_ID, OBJECT_NAME = "jobId", "objectName"
_BRACES = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class PushState(StrEnum):
    """What has become of a push, as stored and told (`docsHub.state`)."""

    PENDING = "PENDING"
    """Under way, or to be tried again."""
    PUSHED = "PUSHED"
    """The object is there."""
    SUPERSEDED = "SUPERSEDED"
    """A newer run's object is there already, and was left alone."""
    FAILED = "FAILED"
    """Given up. The output can be downloaded all the same."""
    CANCELLED = "CANCELLED"
    """The job was cancelled, or aborted, before."""


@dataclass(frozen=True)
class DocsHub:
    """The criterion `docsHubDetails`: an instance of a documents connector, and a path with the file's name."""

    instance_id: int
    path: str

    def echo(self) -> dict[str, str]:
        """By the names of the wire."""
        return {"instanceId": str(self.instance_id), "path": self.path}

    @classmethod
    def from_echo(cls, shown: dict[str, Any] | None) -> DocsHub | None:
        """Read back what `echo` gave."""
        return None if shown is None else cls(int(shown["instanceId"]), shown["path"])


class PathError(ValueError):
    """The path cannot be used; the text says what is accepted."""


def check_placeholders(path: str) -> None:
    """Raises PathError for an unknown placeholder, a lone brace, or a path that is too long."""
    if not 0 < len(path) <= LONGEST_PATH:
        raise PathError(f"it has {len(path)} characters; 1 to {LONGEST_PATH} are accepted")
    for name in _BRACES.findall(path):
        if name not in {JOB_ID, OBJECT_NAME, *PATTERNS}:
            accepted = "; ".join([f"{{{JOB_ID}}}", f"{{{OBJECT_NAME}}}", *(f"{{{each}}}" for each in PATTERNS)])
            raise PathError(f"{{{name}}} is no placeholder; accepted: {accepted}")
    if set("{}") & set(_BRACES.sub("", path)):
        raise PathError("it has a brace without its partner: braces stand around a placeholder")


def filled(path: str, *, job_id: int, object_name: str, moment: datetime) -> str:
    """The path with its placeholders filled in and without a leading slash. `moment`: in UTC. Raises PathError."""
    check_placeholders(path)
    values = {JOB_ID: str(job_id), OBJECT_NAME: _UNSAFE.sub("_", object_name)}

    def value_of(match: re.Match[str]) -> str:
        return values[match[1]] if match[1] in values else dated(match[1], moment)

    return _BRACES.sub(value_of, path).removeprefix("/")


def is_packed(path: str) -> bool:
    """Whether the object is to be gzip: its extension says so."""
    return path.lower().endswith(".gz")


def state_before(status: JobStatus) -> str:
    """What is told of a run that has come to no push: it may yet, or it has ended without."""
    if not status.is_terminal:
        return "WAITING"
    return (PushState.FAILED if status is JobStatus.COMPLETED else PushState.CANCELLED).value


def one_line(text: str) -> str:
    """What another side said of a failure, as it can be stored and shown."""
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(printable.split())[:_LONGEST_ERROR]


def failure_text(push: dict[str, Any] | None) -> str | None:
    """What a person must know of a push that was given up; None of any other."""
    if push is None or push["state"] != PushState.FAILED:
        return None
    return f"The output was not pushed to {push['path']}: {push.get('error')} It can be downloaded."
