"""The Procfile: the one place that says how each process of the product is started."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from app.local.errors import LocalError

CHECKOUT = Path(__file__).parents[2]
_LINE = re.compile(r"^([a-z][a-z0-9_]*): (.+)$")


def commands(path: Path = CHECKOUT / "Procfile") -> dict[str, str]:
    """Shell command of every process, by its name. Raises LocalError for a line that is none."""
    found = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        match = _LINE.match(line)
        if match is None:
            raise LocalError(f"{path.name} line {number} is not `name: command`: {line!r}")
        found[match[1]] = match[2]
    return found


def shell_command(name: str) -> list[str]:
    """Argument list that runs the process `name`. The lines `exec`, so the process is the shell's own number."""
    return ["/bin/sh", "-c", commands()[name]]


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """What a process of the product is given: a small plain environment, this Python's programs first, `settings`."""
    inherited = ("HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
    environment = {name: os.environ[name] for name in inherited if name in os.environ}
    programs = Path(sys.executable).parent
    return {
        **environment,
        "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        **settings,
    }
