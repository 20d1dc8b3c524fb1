"""Keeps processes running: whatever ends is started again, with a growing pause if it ends at once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from app.local import kept

_TICK_S = 0.2
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 15.0
_STEADY_S = 20.0
"""A process that lived this long is started again at once."""


@dataclass
class Service:
    """One supervised process. `process` changes at each restart."""

    name: str
    launch: kept.Launch
    process: kept.KeptProcess
    started_at_s: float = field(default_factory=time.monotonic)
    pause_s: float = _FIRST_PAUSE_S
    restart_at_s: float | None = None
    restart_count: int = 0


class Supervisor:
    """Watches in a thread of its own. `say` is told of every unexpected end, in a sentence."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._services: dict[str, Service] = {}
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, name: str, launch: kept.Launch) -> Service:
        """Raises LocalError if it cannot be executed at all."""
        service = Service(name, launch, kept.start(launch))
        with self._lock:
            self._services[name] = service
        return service

    def service(self, name: str) -> Service:
        return self._services[name]

    def stop(self) -> None:
        """Ask all at once, wait for all; each has its own grace."""
        self._stopping.set()
        self._thread.join()
        with ThreadPoolExecutor(max_workers=max(1, len(self._services))) as pool:
            for service in self._services.values():
                pool.submit(service.process.stop)

    def _watch(self) -> None:
        while not self._stopping.wait(_TICK_S):
            with self._lock:
                services = list(self._services.values())
            for service in services:
                self._look_after(service, time.monotonic())

    def _look_after(self, service: Service, now_s: float) -> None:
        if service.restart_at_s is None:
            if not service.process.alive:
                self._plan_restart(service, now_s)
        elif now_s >= service.restart_at_s:
            service.process.stop()
            service.process = kept.start(service.launch)
            service.started_at_s, service.restart_at_s = now_s, None
            service.restart_count += 1

    def _plan_restart(self, service: Service, now_s: float) -> None:
        steady = now_s - service.started_at_s >= _STEADY_S
        service.pause_s = _FIRST_PAUSE_S if steady else min(service.pause_s * 2, _LONGEST_PAUSE_S)
        service.restart_at_s = now_s if steady else now_s + service.pause_s
        self._say(
            f"{service.name} ended with {_how(service.process.wait(0))} and is started again;"
            f" its log: {service.launch.log}"
        )


def _how(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"code {code}"
