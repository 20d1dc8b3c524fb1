"""Ends or freezes a process of the product at a chosen step, and doubles or loses its messages. For tests only.

Steps are wrapped from outside; the product knows nothing of this. A test arms a step by a file in the folder of the
environment variable SABOTAGE_FOLDER, named `<slice id or any>.<step>.<before|inside|after>`, that holds what to do
and at which pass: `kill 1`, `stop 3`. The first process that takes the file does it: SIGKILL or SIGSTOP to itself.
With the prefork pool that is the child, with the threads pool the whole worker.

SABOTAGE_MESSAGES, where set, is three numbers: copies of each message that is sent, every how many-th message is lost
(0: none), and a seed that shifts which ones.
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

from app.db import deliveries, slices
from app.db.slices import Claim
from app.enqueue import Enqueuer, TaskName
from app.services import deliver, download
from app.services.checkpoints import Checkpoints
from app.services.download import Leg
from app.storage.files import FileStore

LEG_STEPS = (
    "claim.before",
    "claim.after",
    "plan.after",
    "reserve.before",
    "reserve.after",
    "fetch.before",
    "fetch.after",
    "take_in.after",
    "put.before",
    "put.inside",
    "put.after",
    "advance.before",
    "advance.after",
    "renew.before",
    "renew.after",
    "hand_back.before",
    "hand_back.after",
    "hint.before",
    "hint.after",
    "finish.before",
    "finish.inside",
    "finish.after",
)
"""Every step of a leg. `finish.inside`: all statements of the final transaction are sent, COMMIT is not."""

DELIVERY_STEPS = ("deliver.before", "deliver.after", "post.before", "post.after", "record.before", "record.after")

SWEEPER_STEPS = ("hint.before", "hint.after")
"""The sweeper has marked what is due as hinted at; the hint is not sent, or is."""

_ANY = "any"
_STOPPING_S = 0.05
"""A process of several threads stops a moment after its call; this thread must not go on meanwhile."""

_here = threading.local()
_passes: Counter[str] = Counter()
_lock = threading.Lock()


def arm(folder: Path, step: str, *, slice_id: int | None = None, action: str = "kill", at: int = 1) -> Path:
    """For the test: let the `at`-th pass of a step end in `action`. The file is gone once it has happened."""
    armed = folder / f"{_ANY if slice_id is None else slice_id}.{step}"
    unfinished = folder / f".{armed.name}"
    unfinished.write_text(f"{action} {at}")
    return unfinished.rename(armed)


def reach(step: str) -> None:
    """Called at each step: do what is armed for it."""
    for scope in (getattr(_here, "slice_id", None), _ANY):
        armed = Path(os.environ["SABOTAGE_FOLDER"]) / f"{scope}.{step}"
        try:
            action, at = armed.read_text().split()
        except FileNotFoundError:
            continue
        with _lock:
            _passes[armed.name] += 1
            if _passes[armed.name] < int(at):
                continue
        _strike(armed, action)


def _strike(armed: Path, action: str) -> None:
    try:
        armed.unlink()
    except FileNotFoundError:
        return  # another process was first
    os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[action])
    time.sleep(_STOPPING_S)


def _around(owner: Any, name: str, step: str) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    @wraps(original)
    def watched(*args: Any, **named: Any) -> Any:
        reach(f"{step}.before")
        done = original(*args, **named)
        reach(f"{step}.after")
        return done

    setattr(owner, name, watched)


def _know_the_slice() -> None:
    claim = slices.claim

    @wraps(claim)
    def knowing(conn: Any, slice_id: int, **named: Any) -> Claim | None:
        _here.slice_id = slice_id
        return claim(conn, slice_id, **named)

    slices.claim = knowing


def _half_written(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[: len(chunk) // 2]
        reach("put.inside")
        yield chunk[len(chunk) // 2 :]


def _open_put() -> None:
    put = FileStore.put

    @wraps(put)
    def opened(self: FileStore, key: str, chunks: Iterable[bytes]) -> None:
        put(self, key, _half_written(chunks))

    FileStore.put = opened  # type: ignore[method-assign]


def _open_finish() -> None:
    finish_run: Callable[..., Any] = download.__dict__["finish_run"]

    @wraps(finish_run)
    def opened(*args: Any, **named: Any) -> Any:
        done = finish_run(*args, **named)
        reach("finish.inside")
        return done

    setattr(download, finish_run.__name__, opened)


def _upset_messages(copies: int, lost_every: int, seed: int) -> None:
    send = Enqueuer.send
    number = count(seed)

    @wraps(send)
    def unreliable(self: Enqueuer, task: TaskName, row_id: int) -> None:
        if lost_every and next(number) % lost_every == 0:
            return
        for _ in range(copies):
            send(self, task, row_id)

    Enqueuer.send = unreliable  # type: ignore[method-assign]


def install() -> None:
    """Wrap every step. Called once, by tests.fakes.sabotaged."""
    from app.connectors.client import VendorClient

    _open_put()
    _open_finish()
    if "SABOTAGE_MESSAGES" in os.environ:
        _upset_messages(*map(int, os.environ["SABOTAGE_MESSAGES"].split()))
    steps: list[tuple[Any, str, str]] = [
        (slices, "claim", "claim"),
        (download, "load_plan", "plan"),
        (slices, "reserve_calls", "reserve"),
        (VendorClient, "fetch", "fetch"),
        (Checkpoints, "take_in", "take_in"),
        (FileStore, "put", "put"),
        (slices, "advance", "advance"),
        (slices, "renew", "renew"),
        (slices, "hand_back", "hand_back"),
        (Enqueuer, "send", "hint"),
        (Leg, "_end", "finish"),
        (deliveries, "claim", "deliver"),
        (deliver, "send", "post"),
        (deliveries, "record", "record"),
    ]
    for owner, name, step in steps:
        _around(owner, name, step)
    _know_the_slice()
