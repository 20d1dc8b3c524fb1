"""Ends or freezes a process of the product at a chosen step, breaks its messages and its disk. For tests only.

Steps are wrapped from outside; the product knows nothing of this. A test arms a step by a file in the folder of the
environment variable SABOTAGE_FOLDER, named `<scope>.<step>.<before|inside|after>`, that holds what to do and at which
pass: `kill 1`, `stop 3`. The scope is a slice's id, a role (`worker`, `sweeper`) or `any`. The first process that takes
the file does it: SIGKILL or SIGSTOP to itself. With the prefork pool that is the child, with the threads pool the
whole worker.

SABOTAGE_MESSAGES, where set, is three numbers: copies of each message that is sent, every how many-th message is lost
(0: none), and a seed that shifts which ones.

A file `disk` in the folder lets the store's writes fail in the middle: it holds the name of the error and, for a disk
that is full from then on, the bytes that it holds: `EIO`, `EACCES`, `ENOSPC 50000`.

SABOTAGE_LEDGER, where set, is a file that gets a line for each message sent or lost and each write refused.
"""

import errno
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

from app.db import checkpoints, deliveries, pushes, slices, upload_rows
from app.db.slices import Claim
from app.domain.segments import SegmentKey
from app.enqueue import Enqueuer, TaskName
from app.services import deliver, download, leg_end
from app.services.checkpoints import Checkpoints
from app.services.leg_end import LegEnd
from app.storage import folders
from app.storage.files import FileStore

LEG_STEPS = (
    "claim.before",
    "claim.after",
    "plan.after",
    "reserve.before",
    "reserve.after",
    "send.before",
    "send.after",
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

UPLOAD_STEPS = (
    "claim.before",
    "claim.after",
    "load.after",
    "tell.before",
    "tell.after",
    "write.before",
    "write.after",
    "hear.before",
    "hear.after",
    "look.before",
    "look.after",
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
"""Every step of a leg of an upload. `tell` is the statement of intents and outcomes, `write` sends, `hear` takes in an
answer, `look` asks for a row in doubt.
"""

PUSH_STEPS = (
    "push_claim.before",
    "push_claim.after",
    "push_begin.before",
    "push_begin.after",
    "push_write.before",
    "push_write.after",
    "publish.before",
    "publish.after",
    "push_end.before",
    "push_end.after",
    "discard.before",
    "discard.after",
)
"""Every step of a push. `push_begin` makes the temporary object, `push_end` writes what has become of it, `discard`
removes what a dead attempt left.
"""

DELIVERY_STEPS = ("deliver.before", "deliver.after", "post.before", "post.after", "record.before", "record.after")

SWEEPER_STEPS = ("hint.before", "hint.after")
"""The sweeper has marked what is due as hinted at; the hint is not sent, or is."""

ANY, WORKER, SWEEPER = "any", "worker", "sweeper"
_STOPPING_S = 0.05
"""A process of several threads stops a moment after its call; this thread must not go on meanwhile."""

_here = threading.local()
_role = WORKER
_passes: Counter[str] = Counter()
_slice_ids: dict[tuple[str, int, int], int] = {}
"""Job, run and number of the slices that this process has claimed: what an object's key tells of them."""
_lock = threading.Lock()


def arm(folder: Path, step: str, *, scope: int | str = ANY, action: str = "kill", at: int = 1) -> Path:
    """For the test: let the `at`-th pass of a step end in `action`. The file is gone once it has happened.

    `scope`: a slice's id, a role, or any process at all.
    """
    armed = folder / f"{scope}.{step}"
    unfinished = folder / f".{armed.name}"
    unfinished.write_text(f"{action} {at}")
    return unfinished.rename(armed)


def break_disk(folder: Path, error: str, *, holds_bytes: int | None = None) -> Path:
    """For the test: let writes of the store fail, at once or when it holds so much. Remove the file to repair it."""
    broken = folder / "disk"
    unfinished = folder / ".disk"
    unfinished.write_text(error if holds_bytes is None else f"{error} {holds_bytes}")
    return unfinished.rename(broken)


def note(event: str) -> None:
    """A line in the ledger, whole even while others write."""
    if path := os.environ.get("SABOTAGE_LEDGER"):
        with Path(path).open("ab", buffering=0) as ledger:
            ledger.write(f"{event}\n".encode())


def reach(step: str, slice_id: int | None = None) -> None:
    """Called at each step: do what is armed for it. `slice_id` where the thread does not tell."""
    for scope in (slice_id or getattr(_here, "slice_id", None), _role, ANY):
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
        claimed = claim(conn, slice_id, **named)
        if claimed is not None:
            _slice_ids[str(claimed.job_id), claimed.run_number, claimed.slice_number] = slice_id
        return claimed

    slices.claim = knowing


def _half_written(chunks: Iterable[bytes], slice_id: int | None) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[: len(chunk) // 2]
        reach("put.inside", slice_id)
        yield chunk[len(chunk) // 2 :]


def _slice_of(key: str) -> int | None:
    """By the object's key: what stores it need not be the thread that has claimed the slice."""
    parts = SegmentKey.parse(key)
    return _slice_ids.get((parts.job_id, parts.run_number, parts.slice_number))


def _open_put() -> None:
    put = FileStore.put

    @wraps(put)
    def opened(self: FileStore, key: str, chunks: Iterable[bytes]) -> None:
        slice_id = _slice_of(key)
        reach("put.before", slice_id)
        _here.root = self.root
        put(self, key, _half_written(chunks, slice_id))
        reach("put.after", slice_id)

    FileStore.put = opened  # type: ignore[method-assign]


def _upset_disk() -> None:
    """Below the store: its own translation of the system's errors is at work."""
    write_all = folders.write_all

    @wraps(write_all)
    def breakable(file: Any, chunks: Sequence[bytes]) -> None:
        error = _disk_error()
        if error is not None:
            content = b"".join(chunks)
            file.write(content[: len(content) // 2])
            note(f"refused {errno.errorcode[error]}")
            raise OSError(error, os.strerror(error))
        write_all(file, chunks)

    folders.write_all = breakable


def _disk_error() -> int | None:
    try:
        name, *holds_bytes = (Path(os.environ["SABOTAGE_FOLDER"]) / "disk").read_text().split()
    except FileNotFoundError:
        return None
    if holds_bytes and stored_bytes(_here.root) < int(holds_bytes[0]):
        return None
    return int(getattr(errno, name))


def stored_bytes(root: Path) -> int:
    """What a store's folder holds at this moment; files may go meanwhile."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                total += (Path(folder) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total


def _open_finish() -> None:
    finish_run: Callable[..., Any] = leg_end.__dict__["finish_run"]

    @wraps(finish_run)
    def opened(*args: Any, **named: Any) -> Any:
        done = finish_run(*args, **named)
        reach("finish.inside")
        return done

    setattr(leg_end, finish_run.__name__, opened)


def _upset_messages(copies: int, lost_every: int, seed: int) -> None:
    send = Enqueuer.send
    number = count(seed)

    @wraps(send)
    def unreliable(self: Enqueuer, task: TaskName, row_id: int) -> None:
        if lost_every and next(number) % lost_every == 0:
            note("lost")
            return
        for _ in range(copies):
            send(self, task, row_id)
        note("sent")

    Enqueuer.send = unreliable  # type: ignore[method-assign]


def install(role: str) -> None:
    """Wrap every step. Called once, by tests.fakes.sabotaged."""
    global _role  # noqa: PLW0603 - one a process is the point
    from app.connectors.client import Call, VendorClient
    from app.connectors.writing import WriteCall, WriteClient
    from app.storage.destinations.files import FileDestination, FileWriting

    _role = role
    _open_put()
    _upset_disk()
    _open_finish()
    if "SABOTAGE_MESSAGES" in os.environ:
        _upset_messages(*map(int, os.environ["SABOTAGE_MESSAGES"].split()))
    steps: list[tuple[Any, str, str]] = [
        (slices, "claim", "claim"),
        (download, "load_plan", "plan"),
        (checkpoints, "reserve_calls", "reserve"),
        (VendorClient, "start", "send"),
        (Call, "result", "fetch"),
        (Checkpoints, "take_in", "take_in"),
        (checkpoints, "advance", "advance"),
        (slices, "renew", "renew"),
        (slices, "hand_back", "hand_back"),
        (download, "load_upload", "load"),
        (upload_rows, "advance", "tell"),
        (WriteClient, "start", "write"),
        (WriteCall, "result", "hear"),
        (WriteClient, "start_look_up", "look"),
        (Enqueuer, "send", "hint"),
        (LegEnd, "run_over", "finish"),
        (pushes, "claim", "push_claim"),
        (FileDestination, "begin", "push_begin"),
        (FileWriting, "write", "push_write"),
        (FileWriting, "publish", "publish"),
        (pushes, "end", "push_end"),
        (FileDestination, "discard", "discard"),
        (deliveries, "claim", "deliver"),
        (deliver, "send", "post"),
        (deliveries, "record", "record"),
    ]
    for owner, name, step in steps:
        _around(owner, name, step)
    _know_the_slice()
