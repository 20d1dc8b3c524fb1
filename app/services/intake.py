"""Take a file in: it streams into the store as it comes, then its job is stored in one transaction. Needs no broker.

A row of `intakes` is there before the first byte of the object and goes with the transaction that makes the job. So
whatever dies in between, either the job has the file or the sweeper finds the row and removes both.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator

import structlog

from app.db import intakes
from app.db.pool import Connection
from app.db.uploads import Upload
from app.domain.uploads import UploadOptions
from app.errors import (
    CommitInDoubtError,
    HaulageError,
    InvalidInputError,
    TransientError,
    UnauthorizedError,
)
from app.services.context import Caller, Context
from app.services.submission import Submission, check_callback, check_retention, submit_once, wake_sweepers
from app.services.upload_job import Target, check_options, find_target, request_digest, store_job
from app.storage.objects import ObjectStore

log = structlog.get_logger()

LONGEST_S = 3600.0
"""An upload that takes longer is broken off, as the vendor does (reference 8)."""

STALE_S = 2 * LONGEST_S
"""What is being received for so long has nobody any more who receives it."""


def input_key() -> str:
    """A key for an input that no other object has. Everything in its folder belongs to that input."""
    return f"uploads/{secrets.token_hex(16)}/input"


def input_folder(key: str) -> str:
    """The folder of an input, with its closing slash."""
    return key.removesuffix("input")


def remove_input(store: ObjectStore, key: str) -> None:
    """Delete an input, and what a receiver that was killed had half written of it. Raises as ObjectStore does."""
    for name in store.unfinished(input_folder(key)):
        store.discard(name)
    store.delete_prefix(input_folder(key))


class Intake:
    """One file on its way into the store."""

    def __init__(self, ctx: Context, organisation_id: int, target: Target, *, is_digested: bool) -> None:
        self.key = ""
        """Of the stored object, empty before there is one."""
        self.input_bytes = 0
        self._ctx = ctx
        self._organisation_id = organisation_id
        self._target = target
        self._digest = hashlib.sha256() if is_digested else None

    @property
    def digest(self) -> str:
        """SHA-256 of the file, in hexadecimal digits; empty where nobody asked for it."""
        return "" if self._digest is None else self._digest.hexdigest()

    def check(self, options: UploadOptions) -> None:
        """Refuse what the object cannot do; to be called as soon as the options are known.

        Raises InvalidInputError.
        """
        check_options(self._target, options)
        check_retention(self._ctx, options.retention_hours, "retentionHours")

    def keep(self, pieces: Iterable[bytes]) -> None:
        """Store the file. Raises InvalidInputError for an empty or a second one, and whatever `pieces` raises."""
        if self.key:
            raise InvalidInputError("The part `file` is there twice; one file a job is accepted.", field="file")
        rest = iter(pieces)
        first = next((piece for piece in rest if piece), b"")
        if not first:
            raise InvalidInputError(
                "The part `file` is empty; a CSV file with a header line, or a file of JSON objects, is accepted.",
                field="file",
            )
        key = input_key()
        with self._ctx.db.connection() as conn:
            intakes.insert(conn, self._organisation_id, key)
        self.key = key
        self._ctx.store.put(key, self._counted(first, rest))

    def _counted(self, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
        piece: bytes | None = first
        while piece is not None:
            self.input_bytes += len(piece)
            if self._digest is not None:
                self._digest.update(piece)
            yield piece
            piece = next(rest, None)

    def discard(self) -> None:
        """Remove row and object, unless a job has taken them over; what does not succeed is left to the sweeper."""
        if not self.key:
            return
        try:
            with self._ctx.db.transaction() as conn:
                if intakes.remove(conn, self.key):
                    remove_input(self._ctx.store, self.key)
        except HaulageError as error:
            log.warning("intake.not_removed", key=self.key, reason=error.message)


def receive(
    ctx: Context,
    caller: Caller,
    object_name: str,
    read: Callable[[Intake], UploadOptions],
    *,
    notification_url: str | None = None,
    idempotency_key: str | None = None,
    callback_name: str = "notificationUrl",
) -> Submission:
    """Let `read` take a request apart, which gives the file to Intake.keep, and make a job of the file.

    What can be refused without the file is refused before `read` is called. With an Idempotency-Key the same file with
    the same options gives the same job for 24 h. Raises InvalidInputError, ConflictError, IdempotencyMismatchError,
    AddressRefusedError, TransientError, and whatever `read` raises: then nothing is stored.
    """
    organisation_id, instance_id = caller.organisation_id, caller.instance_id
    if instance_id is None:
        raise UnauthorizedError("Bulk calls need the instance's token: Authorization: …, Element <token>.")
    check_callback(ctx, notification_url, callback_name)
    with ctx.db.connection() as conn:
        target = find_target(conn, organisation_id, instance_id, object_name)
    intake = Intake(ctx, organisation_id, target, is_digested=idempotency_key is not None)
    try:
        options = read(intake)
        submission = _submit(ctx, caller, instance_id, intake, options, idempotency_key)
    except CommitInDoubtError:
        raise  # the job may stand; if not, the row of the intake still does, and the sweeper sees to both
    except BaseException:
        intake.discard()
        raise
    wake_sweepers(ctx)
    return submission


def _submit(
    ctx: Context, caller: Caller, instance_id: int, intake: Intake, options: UploadOptions, key: str | None
) -> Submission:
    if not intake.key:
        raise InvalidInputError("The part `file` is missing; a part of that name is accepted.", field="file")
    intake.check(options)
    digest = request_digest(instance_id, options, intake.digest)
    return submit_kept(
        ctx, caller, intake, key, digest, lambda conn: take_over(ctx, conn, caller, instance_id, intake, options)
    )


def submit_kept(
    ctx: Context,
    caller: Caller,
    intake: Intake,
    key: str | None,
    digest: str,
    take_over: Callable[[Connection], Submission],
) -> Submission:
    """`take_over` makes a job of what the intake has kept; where the same request made one before, that is let go."""
    with ctx.db.transaction() as conn:
        submission = submit_once(conn, caller, key, digest, lambda: take_over(conn))
    if submission.is_repeated:
        intake.discard()
    return submission


def take_over(
    ctx: Context, conn: Connection, caller: Caller, instance_id: int, intake: Intake, options: UploadOptions
) -> Submission:
    """Make a job of what the intake has kept, in the caller's transaction. Raises as `receive`."""
    target = find_target(conn, caller.organisation_id, instance_id, options.object_name)
    check_options(target, options)  # again: the connector may have been changed while the file came
    if not intakes.remove(conn, intake.key):
        raise TransientError("The file was so long on its way that it was given up; send it again.")
    return store_job(ctx, conn, caller, target, options, Upload(0, intake.key, intake.input_bytes))
