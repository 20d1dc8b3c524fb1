"""Accounts: each has its own settings, counters and access log, so that parallel users do not meet."""

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from app.sandbox.faults import Rule, Script
from app.sandbox.gate import Gate
from app.sandbox.limits import Limit, Meters
from app.sandbox.people import People
from app.sandbox.records import expected_record
from app.sandbox.selection import select
from app.sandbox.settings import Plain, Settings, read_settings
from app.sandbox.wire import Request
from app.sandbox.writes import CsrfTokens

LOG_LINES: Final = 10_000  # an account's log is a ring of so many lines; counters never roll
ACCOUNTS_MAX: Final = 1_000
_SECRETS_MAX: Final = 1_000
_KEPT_HEADERS: Final = ("user-agent", "accept-encoding", "prefer", "cookie")


class TooManyAccountsError(Exception):
    """The server holds as many accounts as it may; DELETE one."""


@dataclass(slots=True)
class LogEntry:
    """One call. ``number`` counts from 1 and never repeats within an account until its log is cleared.

    ``status`` (0 until decided), ``bytes`` and ``records`` are what was meant to be sent; ``complete`` turns true once
    the fault, if any, has run and the network has taken it all. ``concurrency`` is the number of calls in progress at
    arrival, this one included.
    """

    number: int
    at: datetime
    monotonic_s: float
    method: str
    path: str
    query: str
    auth: str
    concurrency: int
    headers: dict[str, str]
    status: int = 0
    bytes: int = 0
    records: int = 0
    first_id: int | None = None
    last_id: int | None = None
    fault: str | None = None
    complete: bool = False

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "at": self.at.isoformat()}


@dataclass(frozen=True)
class Admission:
    """What the account decided when a call arrived."""

    entry: LogEntry
    settings: Settings
    records: int
    rule: Rule | None
    refused_by: tuple[Limit, float] | None
    too_parallel: bool
    headers: tuple[tuple[str, str], ...]


class Account:
    """One data set with its behaviour. All methods are safe for threads."""

    def __init__(self, name: str, defaults: Plain) -> None:
        self.name, self._defaults = name, defaults
        self._changed = threading.Condition()
        self._log: deque[LogEntry] = deque(maxlen=LOG_LINES)
        self._secret_calls: OrderedDict[str, int] = OrderedDict()
        self.gate = Gate()
        self.people, self.csrf_tokens = People(), CsrfTokens()
        self._calls = self._in_progress = self._data_calls = 0
        self.counters: Counter[str] = Counter()
        self._apply(read_settings({}, defaults))

    @property
    def token(self) -> str:
        """A credential of this account for bearer and API keys."""
        return f"{self.name}.secret"

    @property
    def settings(self) -> Settings:
        return self._settings

    def configure(self, /, **document: Any) -> None:
        """Replace all settings, as PUT does; what is not given is the server's default. Raises BadDocumentError.

        Restarts the count of calls that fault rules see, limits, secret expiry and growth; keeps log and counters.
        """
        self._apply(read_settings(document, self._defaults))

    def change(self, /, **document: Any) -> None:
        """Replace the named top-level settings and keep the others, as PATCH does. Raises BadDocumentError."""
        self._apply(read_settings({**self._settings.document, **document}, self._defaults))

    def _apply(self, settings: Settings) -> None:
        with self._changed:
            self._settings = settings
            self._script, self._meters = Script(settings.faults), Meters(settings.limits)
            self._secret_calls.clear()
            self._data_calls = 0

    def arrive(self, request: Request, kind: str, query: str) -> LogEntry:
        """Count and log a call that has just come in."""
        kept = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
        with self._changed:
            self._calls += 1
            self._in_progress += 1
            entry = LogEntry(
                self._calls,
                datetime.now(UTC),
                time.monotonic(),
                request.method,
                request.path,
                query,
                kind,
                self._in_progress,
                kept,
            )
            self._log.append(entry)
            self.counters["concurrency_max"] = max(self.counters["concurrency_max"], self._in_progress)
            self._changed.notify_all()
        return entry

    def admit(self, entry: LogEntry) -> Admission:
        """Limits and fault rules for a call whose credential is good."""
        with self._changed:
            settings = self._settings
            too_parallel = 0 < settings.plain.concurrent_max < self._in_progress
            refused = None if too_parallel else self._meters.refusal()
            rule = None if too_parallel or refused else self._script.strike(entry.path)
            grown = self._data_calls * settings.habits.grows
            self._data_calls += 1
            return Admission(
                entry,
                settings,
                settings.plain.records + grown,
                rule,
                refused,
                too_parallel,
                self._meters.headers(None if refused else settings.habits.clock_skew_s),
            )

    def expired(self, secret: str) -> bool:
        """Count a call of this secret and tell whether it has outlived its calls."""
        with self._changed:
            lasts = self._settings.habits.token_calls
            if not lasts:
                return False
            used = self._secret_calls[secret] = self._secret_calls.get(secret, 0) + 1
            if len(self._secret_calls) > _SECRETS_MAX:
                self._secret_calls.popitem(last=False)
            return used > lasts

    def decide(
        self, entry: LogEntry, *, status: int, size_bytes: int, records: int, ids: tuple[int, int] | None
    ) -> None:
        """Log what will be sent, before the first byte: a client that has its answer finds it in the log."""
        with self._changed:
            entry.status, entry.bytes, entry.records = status, size_bytes, records
            entry.first_id, entry.last_id = ids or (None, None)
            self.counters["records"] += records
            self.counters["bytes"] += size_bytes
            self.counters[f"status_{status}"] += 1
            if entry.fault:
                self.counters[f"fault_{entry.fault}"] += 1
            self._changed.notify_all()

    def leave(self, entry: LogEntry, *, complete: bool) -> None:
        with self._changed:
            self._in_progress -= 1
            entry.complete = complete
            self._changed.notify_all()

    def release(self) -> None:
        """Let every call go that a ``hold`` fault holds now; later ones are held anew."""
        self.gate.release()

    def wait_for_held(self, count: int = 1, timeout_s: float = 30) -> None:
        """Return once ``count`` calls are held by a ``hold`` fault. Raises TimeoutError."""
        if not self.gate.wait_for_held(count, timeout_s):
            raise TimeoutError(f"account {self.name}: {self.gate.held} of {count} calls held after {timeout_s} s")

    @property
    def calls(self) -> int:
        """Requests that named this account since it was made or its log was cleared; refused ones count too."""
        return self._calls

    @property
    def in_progress(self) -> int:
        return self._in_progress

    def log(self) -> list[LogEntry]:
        """The last LOG_LINES calls, oldest first."""
        with self._changed:
            return list(self._log)

    def clear_log(self) -> None:
        """Forget log and counters; settings stay."""
        with self._changed:
            self._log.clear()
            self.counters.clear()
            self._calls = 0

    def wait_for_calls(self, count: int, timeout_s: float = 30) -> None:
        """Return once ``count`` calls have arrived. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._calls >= count, timeout_s):
                raise TimeoutError(f"account {self.name}: {self._calls} of {count} calls after {timeout_s} s")

    def wait_until_idle(self, timeout_s: float = 30) -> None:
        """Return once no call is in progress. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._in_progress, timeout_s):
                raise TimeoutError(f"account {self.name}: {self._in_progress} calls in progress after {timeout_s} s")

    def expected(self, **filters: str) -> Iterator[bytes]:
        """Every record of a complete download, oldest first, compact, archived ones too. ``filters``: field=text."""
        plain, shape = self._settings.plain, self._settings.habits.shape(self._settings.plain.seed)
        chosen = select(plain.records, plain.seed, tuple(sorted(filters.items())), newest_first=False)
        return (expected_record(n, shape) for n in chosen.ids)


class Accounts:
    """All accounts of a server; one is made when its name is first used."""

    def __init__(self, defaults: Plain) -> None:
        self._defaults = defaults
        self._accounts: dict[str, Account] = {}
        self._lock = threading.Lock()

    def named(self, name: str) -> Account:
        """Raises TooManyAccountsError."""
        account = self._accounts.get(name)
        if account is not None:
            return account
        with self._lock:
            if name not in self._accounts and len(self._accounts) >= ACCOUNTS_MAX:
                raise TooManyAccountsError(
                    f"this sandbox holds {ACCOUNTS_MAX} accounts; DELETE /_control/accounts/NAME first"
                )
            return self._accounts.setdefault(name, Account(name, self._defaults))

    def forget(self, name: str) -> None:
        with self._lock:
            self._accounts.pop(name, None)

    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._accounts)
