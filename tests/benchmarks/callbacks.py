"""Callbacks at a steady rate while a tenth of the receivers is dead: how long the healthy ones wait for theirs.

Each receiver is an address of its own on loopback. Of the dead ones some hang, some refuse the connection and some
answer 500. The clock of a callback runs from the commit that owes it to its arrival.
"""

import asyncio
import itertools
import re
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

from app.db import deliveries
from app.db.pool import Database
from app.local import ports
from tests.benchmarks.bench import Bench
from tests.benchmarks.checked import WrongOutputError
from tests.benchmarks.load import quantile
from tests.benchmarks.product import ProductUnderTest

_RECEIVERS = 100
_PER_S = 100
_DEAD = {"hangs": range(4), "refuses": range(4, 7), "answers 500": range(7, 10)}
_LONGEST_S = 300
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_EVENT = re.compile(rb"\r\nwebhook-id:\s*([^\r]+)", re.IGNORECASE)
_BODY = b'{"id":1,"status":"COMPLETED","recordsCount":60,"filler":"' + b"x" * 2_000 + b'"}'
_HOOKS = "http://127.0.0.1:9/vendor"


def run(bench: Bench) -> None:
    count = bench.number(10_000)
    with Receivers() as receivers, ProductUnderTest(bench.folder) as under_test:
        owed_at, healthy = _owe(under_test, receivers, count)
        _wait(receivers, healthy)
        came_at = dict(receivers.came_at)
        states = {
            row["status"]: row["n"]
            for row in under_test.rows("select status, count(*) as n from deliveries group by status")
        }
    delays_s = [came_at[event] - owed_at[event] for event in healthy]
    p50, p99 = quantile(delays_s, 0.5), quantile(delays_s, 0.99)
    note = (
        f"{count:,} callbacks at {_PER_S}/s to {_RECEIVERS} receivers, {sum(map(len, _DEAD.values()))} of them dead"
        f" ({', '.join(f'{len(which)} {how}' for how, which in _DEAD.items())}), one process of 32 slots. Healthy ones:"
        f" p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, worst {max(delays_s):.2f} s; {receivers.repeated} came"
        f" twice. At the end {', '.join(f'{n:,} {state}' for state, n in sorted(states.items()))}; the dead were asked"
        f" {receivers.asked['hangs'] + receivers.asked['answers 500']} times (refused connections not counted)."
    )
    bench.say(note)
    measures = {"callbacks.p50": [p50], "callbacks.p99": [p99]}
    bench.results.add("callbacks", measures, title="Callbacks while a tenth of the receivers is dead", note=note)


def _owe(under_test: ProductUnderTest, receivers: "Receivers", count: int) -> tuple[dict[str, float], list[str]]:
    """Owe them on time, whatever becomes of them. Returns when each was owed, and those of healthy receivers."""
    under_test.connect(_HOOKS)
    (instance,) = under_test.rows("select id, organisation_id, connector_id from instances")
    under_test.rows(
        "insert into jobs (id, organisation_id, instance_id, connector_id, connector_revision_id, object_name,"
        " file_format, criteria, status, finished_at) select 1, %s, %s, %s, max(id), 'records', 'application/jsonl',"
        " '{}', 'COMPLETED', now() from connector_revisions returning id",
        instance["organisation_id"], instance["id"], instance["connector_id"],
    )  # fmt: skip
    owed_at: dict[str, float] = {}
    healthy = []
    database = Database(under_test.pg.url, max_size=1)
    database.open()
    began = time.perf_counter()
    for number, receiver in zip(range(count), itertools.cycle(range(_RECEIVERS)), strict=False):
        time.sleep(max(0.0, began + number / _PER_S - time.perf_counter()))
        event = f"msg_1_{number}"
        with database.transaction() as conn:
            deliveries.insert(
                conn,
                job_id=1,
                organisation_id=instance["organisation_id"],
                instance_id=instance["id"],
                run_number=number,
                event_id=event,
                url=receivers.url(receiver),
                body=_BODY,
            )
        owed_at[event] = time.time()
        if not any(receiver in which for which in _DEAD.values()):
            healthy.append(event)
    database.close()
    return owed_at, healthy


def _wait(receivers: "Receivers", healthy: list[str]) -> None:
    ends_at = time.monotonic() + _LONGEST_S
    while missing := [event for event in healthy if event not in receivers.came_at]:
        if time.monotonic() > ends_at:
            raise WrongOutputError(f"{len(missing)} callbacks of healthy receivers did not come: {missing[:5]} …")
        time.sleep(0.2)


class Receivers:
    """All of them in one thread; those that refuse are addresses where nobody listens."""

    def __init__(self) -> None:
        self.came_at: dict[str, float] = {}
        """Event -> seconds since 1970, of healthy receivers."""
        self.repeated = 0
        self.asked: Counter[str] = Counter()
        self._port = ports.free_port()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def url(self, number: int) -> str:
        return f"http://{_address(number)}:{self._port}/callback"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        addresses = [_address(number) for number in range(_RECEIVERS) if number not in _DEAD["refuses"]]
        self._loop.run_until_complete(asyncio.start_server(self._answer, addresses, self._port, backlog=512))
        self._ready.set()
        self._loop.run_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length, event = _LENGTH.search(head), _EVENT.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
            how = self._how(writer.get_extra_info("sockname")[0])
            if how == "hangs":
                await reader.read()  # until the other side gives up
            elif event is not None:
                self._note(how, event[1].decode())
                status = b"500 No" if how else b"200 OK"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the caller has gone
        finally:
            writer.close()

    def _how(self, address: str) -> str:
        number = int(address.rpartition(".")[2]) - 1
        how = next((how for how, which in _DEAD.items() if number in which), "")
        self.asked[how] += 1
        return how

    def _note(self, how: str, event: str) -> None:
        if not how:
            self.repeated += event in self.came_at
            self.came_at.setdefault(event, time.time())


def _address(number: int) -> str:
    return f"127.0.1.{number + 1}"
