"""The manifest of a result: what it consists of, with SHA-256 of each segment and of the whole.

A download computes no SHA-256: it would cost a quarter of a page's time, and few ask. Who asks first computes all of
them in one pass over the result and stores them; who asks meanwhile is given what the first one has stored so far.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Iterator

import structlog

from app.db import manifests
from app.errors import TransientError
from app.services.context import Context
from app.services.results import Result
from app.storage.reading import iter_segment

log = structlog.get_logger()

_LEASE_S = 30.0
_SAVE_EVERY_S = 1.0
_PAUSE_S = 0.5
_BATCH = 1000


def iter_digests(ctx: Context, result: Result) -> Generator[bytes | None]:
    """SHA-256 of the plain bytes of each segment, in order, and last of the whole.

    None now and then in between: it takes time. Raises the storage errors, DatabaseUnavailableError.
    """
    wanted, given = len(result.segments) + 1, 0
    while given < wanted:
        known = _known(ctx, result, given)
        yield from known
        given += len(known)
        if known:
            continue
        if _is_claimed(ctx, result) or not _is_kept(ctx, result, given):
            yield from _computed(ctx, result, given)
            return
        yield None
        time.sleep(_PAUSE_S)


def _known(ctx: Context, result: Result, given: int) -> list[bytes]:
    """What is stored behind the first `given` ones, without a gap; not all at once."""
    with ctx.db.connection() as conn:
        if given == len(result.segments):
            whole = manifests.find_whole(conn, result.job.id, result.job.revision)
            return [] if whole is None else [whole]
        keys = [segment.object_key for segment in result.segments[given : given + _BATCH]]
        found = manifests.find_digests(conn, keys)
    missing = next((index for index, key in enumerate(keys) if key not in found), len(keys))
    return [found[key] for key in keys[:missing]]


def _is_claimed(ctx: Context, result: Result) -> bool:
    with ctx.db.connection() as conn:
        return manifests.claim(conn, result.job.id, result.job.revision, lease_s=_LEASE_S)


def _is_kept(ctx: Context, result: Result, given: int) -> bool:
    """Whether the next one can be stored by somebody: not where the files expired since the result was opened."""
    with ctx.db.connection() as conn:
        if given == len(result.segments):
            return manifests.is_run_kept(conn, result.job.id, result.job.revision)
        return manifests.is_segment_kept(conn, result.segments[given].object_key)


def _computed(ctx: Context, result: Result, given: int) -> Iterator[bytes | None]:
    """The same by reading everything; `given` of them are told already. Lets go whatever happens."""
    job_id, revision = result.job.id, result.job.revision
    whole, fresh, reached = hashlib.sha256(), dict[str, bytes](), None
    saved_at = time.monotonic()
    try:
        for index, segment in enumerate(result.segments):
            own = hashlib.sha256()
            for piece in iter_segment(ctx.store, segment):
                own.update(piece)
                whole.update(piece)
            fresh[segment.object_key] = own.digest()
            yield own.digest() if index >= given else None
            if time.monotonic() - saved_at >= _SAVE_EVERY_S:
                with ctx.db.connection() as conn:
                    manifests.save(conn, job_id, revision, fresh, lease_s=_LEASE_S)
                fresh.clear()
                saved_at = time.monotonic()
        reached = whole.digest()
    finally:
        _let_go(ctx, result, fresh, reached)
    yield reached


def _let_go(ctx: Context, result: Result, fresh: dict[str, bytes], whole: bytes | None) -> None:
    try:
        with ctx.db.transaction() as conn:
            manifests.save(conn, result.job.id, result.job.revision, fresh, lease_s=_LEASE_S)
            manifests.finish(conn, result.job.id, result.job.revision, whole)
    except TransientError as error:
        log.warning("manifest.not_stored", job=result.job.id, reason=error.message)  # the lease ends by itself
