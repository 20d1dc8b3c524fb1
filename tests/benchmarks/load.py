"""An open-loop client: requests leave on time whatever the answers do, and a wait is counted from when it was due."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


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
    failed_count: int

    def quantile_ms(self, share: float) -> float:
        ordered = sorted(self.waits_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000

    @property
    def answered_per_s(self) -> float:
        return len(self.waits_s) / self.wall_s

    def __str__(self) -> str:
        return (
            f"{self.answered_per_s:.0f}/s, p50 {self.quantile_ms(0.5):.1f} ms, p99 {self.quantile_ms(0.99):.1f} ms,"
            f" worst {self.quantile_ms(1):.1f} ms, {self.failed_count} failed"
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
        self._failed_count = 0

    async def drive(self, call: Callable[[int], Call], per_s: float, count: int) -> Load:
        began = time.perf_counter()
        pending = []
        for number in range(count):
            due_at = began + number / per_s
            await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
            pending.append(asyncio.create_task(self._one(call(number).encoded(), due_at)))
        await asyncio.gather(*pending)
        wall_s = time.perf_counter() - began
        for _, writer in self._idle:
            writer.close()
        return Load(tuple(self._waits_s), wall_s, self._failed_count)

    async def _one(self, request: bytes, due_at: float) -> None:
        for _ in range(3):  # an idle connection may be closed at the moment when it is used
            try:
                reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._place)
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                found = _LENGTH.search(head)
                await reader.readexactly(int(found[1]) if found else 0)
            except (OSError, asyncio.IncompleteReadError):
                continue
            self._waits_s.append(time.perf_counter() - due_at)
            self._failed_count += head[9:12] != b"200"
            if b"connection: close" not in head.lower():
                self._idle.append((reader, writer))
            return
        self._failed_count += 1
