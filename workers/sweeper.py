"""The sweeper process: `python -m workers.sweeper`. Any number may run; each sleeps until something is due."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

import structlog

from app.bootstrap import build_context
from app.config import load_settings
from app.db.notices import listen, take_all, wait_for_notify
from app.db.pool import Connection
from app.errors import BrokerUnavailableError, ConfigError, HaulageError
from app.logs import configure_logs
from app.services import retention, workflows
from app.services.context import Context
from app.services.deliver import give_up_put_off
from app.services.stalls import StallWatch
from app.services.sweep import Pass, hint, sweep

log = structlog.get_logger()

_WATCH_S = 1.0
"""A whole pass is made at most this often, and this often while slices are held: workers may die."""

_FORGET_S = 60.0
_STALLS_S = 10.0

_TOGETHER_S = 0.05
"""Notifications are answered at once, but not more often than this: a pass sees whatever came meanwhile."""

_LAST_TIDY_S = 5.0
_SHORTEST_S = 0.01
_SHORT_S = 0.1
"""How soon to look again while more is due than hints wait."""


class Sweeper:
    """The loop. `stop` may be called from a signal handler."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._conn: Connection | None = None
        self._is_stopping = False
        self._is_woken = False
        self._passed_at = 0.0
        self._swept_at = 0.0
        self._forgot_at = 0.0
        self._tidier: threading.Thread | None = None
        self._feeder: threading.Thread | None = None
        self._stalls = StallWatch(ctx)
        self._looked_at = 0.0

    def stop(self) -> None:
        """End after the pass that is under way."""
        self._is_stopping = True

    def warm_up(self) -> None:
        """Have at hand what the first hint needs; whatever is away now is asked for again when it is needed."""
        with contextlib.suppress(BrokerUnavailableError):
            self._ctx.enqueuer.warm_up()

    def run(self) -> None:
        """Sweep until stopped. Errors of a pass are logged and tried again; nothing ends the loop but a stop."""
        while not self._is_stopping:
            sleep_s = self._ctx.settings.sweep_s
            try:
                sleep_s = self._until_next(self._pass())
            except HaulageError as error:
                log.warning("sweep.failed", reason=error.message)
                sleep_s = min(1.0, sleep_s)
            except Exception:
                log.exception("sweep.crashed")
            self._sleep(sleep_s)
        for beside in (self._tidier, self._feeder):
            if beside is not None:
                beside.join(_LAST_TIDY_S)
        if self._conn is not None:
            self._conn.close()

    def _pass(self) -> Pass:
        if self._conn is None:
            self._conn = listen(self._ctx.db)
        self._passed_at = now = time.monotonic()
        is_woken, self._is_woken = self._is_woken, False
        is_whole = now - self._swept_at >= _WATCH_S
        if is_woken or not is_whole:
            done = hint(self._ctx)  # first, since somebody waits for it
        return self._whole_pass(now) if is_whole else done

    def _whole_pass(self, now: float) -> Pass:
        self._swept_at = now
        done = sweep(self._ctx)
        # Beside: a slow store, or a job of many segments, must not hold up hints.
        self._tidier = _begun(self._tidier, "retention", self._tidy)
        self._feeder = _begun(self._feeder, "workflows", self._feed)
        if done.ended or done.expired:
            log.info("sweep.done", ended=done.ended, expired=done.expired)
        return done

    def _tidy(self) -> None:
        try:
            retention.sweep_files(self._ctx)
            retention.sweep_orphans(self._ctx)
            retention.sweep_intakes(self._ctx)
            give_up_put_off(self._ctx)
            now = time.monotonic()
            if now - self._looked_at > _STALLS_S:
                self._looked_at = now
                self._stalls.look()
            if now - self._forgot_at > _FORGET_S and not retention.forget_rows(self._ctx):
                self._forgot_at = now
        except HaulageError as error:
            log.warning("retention.failed", reason=error.message)
        except Exception:
            log.exception("retention.crashed")

    def _feed(self) -> None:
        try:
            workflows.feed_due(self._ctx)
        except HaulageError as error:
            log.warning("workflows.failed", reason=error.message)
        except Exception:
            log.exception("workflows.crashed")

    def _until_next(self, done: Pass) -> float:
        sleep_s = self._ctx.settings.sweep_s
        if done.is_anything_held:
            sleep_s = min(sleep_s, _WATCH_S)
        if done.is_more_due:
            sleep_s = min(sleep_s, _SHORT_S)
        if done.next_due_in_s is not None:
            sleep_s = min(sleep_s, max(_SHORTEST_S, done.next_due_in_s))
        return sleep_s

    def _sleep(self, seconds: float) -> None:
        """Until something is due, at most `seconds`; a lost connection is made anew by the next pass."""
        until = time.monotonic() + seconds
        while not self._is_stopping and (left := until - time.monotonic()) > 0:
            if self._conn is None:
                time.sleep(min(left, 0.1))
                continue
            try:
                if wait_for_notify(self._conn, min(left, 0.5)):
                    self._is_woken = True
                    time.sleep(max(0.0, self._passed_at + _TOGETHER_S - time.monotonic()))
                    take_all(self._conn)
                    return
            except HaulageError:
                self._conn = None


def _begun(thread: threading.Thread | None, name: str, work: Callable[[], None]) -> threading.Thread:
    """A thread that does the work; the one that is still at it, if there is one."""
    if thread is not None and thread.is_alive():
        return thread
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = load_settings()
    configure_logs(log_format=settings.log_format, level=settings.log_level, process="sweeper")
    sweeper = Sweeper(build_context(settings))

    def stop(_signal: int, _frame: FrameType | None) -> None:
        sweeper.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sweeper.warm_up()
    log.info("sweeper.ready")
    sweeper.run()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        try:
            main()
        except ConfigError as error:
            raise SystemExit(f"haulage sweeper: {error.message}") from None
