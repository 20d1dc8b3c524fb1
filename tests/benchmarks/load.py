"""An open-loop client: requests leave on time whatever the answers do, and a wait is counted from when it was due."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which that share of them lies; of few values the worse neighbour."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass(frozen=True)
class Call:
    """One request; `body` None is a GET."""

    path: str
    authorization: str
    body: bytes | None = None

    def encoded(self) -> bytes:
        head = f"Host: bench\r\nAuthorization: {self.authorization}\r\nAccept: application/json\r\n"
        if self.body is None:
            return f"GET {self.path} HTTP/1.1\r\n{head}\r\n".encode()
        head += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n"
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body


@dataclass(frozen=True)
class Load:
    """What came of it. Seconds."""

    waits_s: tuple[float, ...]
    wall_s: float
    failures: dict[str, int]
    """Status, or `no answer` -> how often."""

    def quantile_ms(self, share: float) -> float:
        return quantile(self.waits_s, share) * 1000

    @property
    def answered_per_s(self) -> float:
        return len(self.waits_s) / self.wall_s

    def __str__(self) -> str:
        return (
            f"{self.answered_per_s:.0f}/s, p50 {self.quantile_ms(0.5):.1f} ms, p99 {self.quantile_ms(0.99):.1f} ms,"
            f" worst {self.quantile_ms(1):.1f} ms, {sum(self.failures.values())} failed"
        )


def drive(base_url: str, call: Callable[[int], Call], *, per_s: float, seconds: float) -> Load:
    """Send `call(0)`, `call(1)`, … at that rate."""
    return asyncio.run(_Client(base_url).drive(call, per_s, round(per_s * seconds)))


class _Client:
    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        self._place = (url.hostname or "", url.port or 80)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._waits_s: list[float] = []
        self._failures: Counter[str] = Counter()

    async def drive(self, call: Callable[[int], Call], per_s: float, count: int) -> Load:
        began = time.perf_counter()
        pending = []
        for number in range(count):
            due_at = began + number / per_s
            await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
            pending.append(asyncio.create_task(self._one(call(number).encoded(), due_at)))
        await asyncio.gather(*pending)
        wall_s = time.perf_counter() - began
        self._drop_idle()
        return Load(tuple(self._waits_s), wall_s, dict(self._failures))

    async def _one(self, request: bytes, due_at: float) -> None:
        for _ in range(3):  # an idle connection may be closed at the moment when it is used
            try:
                reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._place)
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                found = _LENGTH.search(head)
                await reader.readexactly(int(found[1]) if found else 0)
            except (OSError, asyncio.IncompleteReadError):
                self._drop_idle()
                continue
            self._waits_s.append(time.perf_counter() - due_at)
            if head[9:12] != b"200":
                self._failures[head[9:12].decode()] += 1
            if b"connection: close" not in head.lower():
                self._idle.append((reader, writer))
            return
        self._failures["no answer"] += 1

    def _drop_idle(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
