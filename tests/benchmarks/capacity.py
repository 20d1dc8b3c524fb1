"""How much the vendor could give: what its clients leave on the table does not count."""

import selectors
import socket
import statistics
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.benchmarks import processes
from tests.benchmarks.load import quantile
from tests.benchmarks.nginx import Vendor

_AT_ONCE = 100
_BUFFER = bytearray(4 * 1024 * 1024)


@dataclass(frozen=True)
class Capacity:
    """Records a second as driven from one core, and what one core of the vendor would give."""

    driven_per_s: float
    records_per_core_s: float


def plain(vendor: Vendor, way: str, count: int, size: int, calls: int = 3000) -> Capacity:
    """Pipelined requests for pages in the middle, answers thrown away by the kernel (tcp(7), MSG_TRUNC)."""
    url = urlsplit(vendor.url(way, count))
    before_s, started = processes.cpu_s([vendor.pid]), time.perf_counter()
    for first in range(0, calls, _AT_ONCE):
        with socket.create_connection((url.hostname or "", url.port or 0)) as connection:
            connection.sendall(b"".join(_request(url.path, size, first + n, _AT_ONCE) for n in range(_AT_ONCE)))
            while connection.recv_into(_BUFFER, len(_BUFFER), socket.MSG_TRUNC):
                pass
    wall_s = time.perf_counter() - started
    cpu_s = processes.cpu_s([vendor.pid]) - before_s
    return Capacity(calls * size / wall_s, calls * size / max(cpu_s, 0.01))


def _request(path: str, size: int, number: int, at_once: int) -> bytes:
    last = (number + 1) % at_once == 0
    head = f"GET {path}/cursor/records?limit={size}&after=p{number % 90 + 1} HTTP/1.1\r\nHost: v\r\n"
    return (head + ("Connection: close\r\n\r\n" if last else "\r\n")).encode()


@dataclass(frozen=True)
class Latency:
    """What `connections` clients at once saw."""

    calls_per_s: float
    p50_ms: float
    p99_ms: float


def slow(vendor: Vendor, way: str, count: int, connections: int, seconds: float = 3.0) -> Latency:
    """That many connections, each asking again once it is answered."""
    url = urlsplit(vendor.url(way, count))
    request = f"GET {url.path}/cursor/records?limit=200&after=p2 HTTP/1.1\r\nHost: v\r\n\r\n".encode()
    waiting: dict[socket.socket, tuple[float, int]] = {}
    times: list[float] = []
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = socket.create_connection((url.hostname or "", url.port or 0))
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(request)
            waiting[connection] = (time.perf_counter(), 0)
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            for key, _ in selector.select(1):
                _take(key.fileobj, waiting, times, request)
        for connection in waiting:
            connection.close()
    return Latency(len(times) / seconds, statistics.median(times) * 1000, quantile(times, 0.99) * 1000)


def _take(connection: object, waiting: dict[socket.socket, tuple[float, int]], times: list[float], ask: bytes) -> None:
    assert isinstance(connection, socket.socket)
    sent_at, left = waiting[connection]
    got = connection.recv_into(_BUFFER)
    if left == 0:
        head, _, body = bytes(_BUFFER[:2000]).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        left = length + len(head) + 4
        del body
    left -= got
    if left > 0:
        waiting[connection] = (sent_at, left)
        return
    times.append(time.perf_counter() - sent_at)
    connection.sendall(ask)
    waiting[connection] = (time.perf_counter(), 0)
