"""The folder where everything of a laptop's Haulage lies: `.haulage/` below the checkout, or HAULAGE_HOME.

env           settings that are kept: keys and passwords, made at the first start; lines may be added by hand
running.env   the whole environment of the running processes, to be sourced by a shell
storage/      segments and results          logs/   one file for each process
postgres/     valkey/                       the embedded servers
"""

import base64
import difflib
import fcntl
import hashlib
import os
import re
import secrets
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Self

from app.config import Settings
from app.local import account
from app.local.errors import LocalError
from app.local.procfile import CHECKOUT

_ELSEWHERE = Path("/var/lib/haulage")
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_SETTINGS = [spec.metadata["env"] for spec in fields(Settings)]
_KNOWN = {*_SETTINGS, *(f"{name}_FILE" for name in _SETTINGS), "HAULAGE_CALLBACK_SLOTS"}


class Home:
    """The folder, held by one process at a time, until `close`."""

    def __init__(self, folder: Path) -> None:
        """Raises LocalError if another process holds the folder or it cannot be made."""
        self.folder = folder.absolute()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o711)  # the servers' account passes through it
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self._guard = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LocalError(f"{self.folder} cannot be used: {error.strerror}. Set HAULAGE_HOME to another.") from error
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._guard)
            raise LocalError(
                f"Haulage already runs on {self.folder}. Stop it first, or start a second one elsewhere:"
                " make up HAULAGE_HOME=/other/folder"
            ) from None

    def close(self) -> None:
        """Let others use the folder."""
        os.close(self._guard)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def storage(self) -> Path:
        return self.folder / "storage"

    def made_exports(self) -> Path:
        """Where instances of element `file` may write, made if need be; `wipe` leaves it alone, as it is the user's."""
        exports = self.folder / "exports"
        exports.mkdir(mode=0o700, exist_ok=True)
        return exports

    def server_folder(self, name: str) -> Path:
        """`folder / name`, or outside where root's home is closed to the account that the servers run as."""
        user = account.server_account()
        if account.can_enter(user, self.folder):
            return self.folder / name
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return _ELSEWHERE / digest / name

    def fresh_folder(self, name: str) -> Path:
        """An empty folder for what need not outlive a start."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / name).mkdir(mode=0o700)
        return self.folder / name

    def wipe(self) -> None:
        """Forget all data; the folder, the kept settings and everything else in it stay."""
        for path in (self.server_folder("postgres"), self.server_folder("valkey"), self.storage, self.logs):
            shutil.rmtree(path, ignore_errors=True)
        self.logs.mkdir(mode=0o700)

    def settings(self) -> dict[str, str]:
        """The kept settings; what is missing is made and written down."""
        path = self.folder / "env"
        kept = _read(path) if path.exists() else {}
        made = {name: make() for name, make in _MADE.items() if name not in kept}
        if made:
            _write(path, kept | made)
        return kept | made

    def write_running(self, environment: Mapping[str, str]) -> None:
        _write(self.folder / "running.env", environment)


def default_folder() -> Path:
    given = os.environ.get("HAULAGE_HOME")
    return Path(given) if given else CHECKOUT / ".haulage"


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


_MADE: dict[str, Callable[[], str]] = {
    "HAULAGE_ENCRYPTION_KEYS": _fernet_key,
    "HAULAGE_ID_KEY": lambda: secrets.token_hex(32),
    "FLOWER_BASIC_AUTH": lambda: f"haulage:{secrets.token_urlsafe(12)}",
}


def _read(path: Path) -> dict[str, str]:
    settings = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        words = shlex.split(value)
        if not equals or not _NAME.fullmatch(name) or len(words) > 1:
            raise LocalError(f"{path} line {number} is not NAME=value: {line!r}")
        if name.startswith("HAULAGE_") and name not in _KNOWN:
            close = difflib.get_close_matches(name, _KNOWN, n=1)
            meant = f" Did you mean {close[0]}?" if close else ""
            raise LocalError(f"{path} line {number}: there is no setting {name}; README.md lists them.{meant}")
        settings[name] = words[0] if words else ""
    return settings


def _write(path: Path, settings: Mapping[str, str]) -> None:
    """As a shell would read it, for the owner's eyes only, never half written."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()))
    unfinished.replace(path)
