"""Statements on table idempotency_keys: a submission that is sent twice is done once (design 5).

`claim` and `complete` run in the transaction of the submission itself: either both the key and the job stand, or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.db.pool import Connection, as_json
from app.errors import ConflictError, IdempotencyMismatchError

KEPT_S = 86400.0
"""How long a key is remembered."""

# The advisory lock makes a second request with the same key answer at once instead of waiting for the first one's
# COMMIT. A key that is older than 24 hours is as good as new.
_CLAIM = """
insert into idempotency_keys as known (organisation_id, key, request_digest)
select %(organisation)s, %(key)s, %(digest)s
where pg_try_advisory_xact_lock(%(organisation)s::int, hashtext(%(key)s))
on conflict (organisation_id, key) do update
  set request_digest = excluded.request_digest, response = null, created_at = now()
  where known.created_at < now() - make_interval(secs => %(kept)s)
returning 1 as claimed
"""


@dataclass(frozen=True)
class Claimed:
    """The key is ours: do the work, then `complete`."""


@dataclass(frozen=True)
class Existing:
    """The work was done before; answer this again."""

    response: Any


def claim(conn: Connection, organisation_id: int, key: str, request_digest: str) -> Claimed | Existing:
    """Take the key, inside the caller's transaction.

    Raises ConflictError while another request with this key is at work and IdempotencyMismatchError when the key came
    with another body before.
    """
    values = {"organisation": organisation_id, "key": key, "digest": request_digest, "kept": KEPT_S}
    if conn.execute(_CLAIM, values).fetchone() is not None:
        return Claimed()
    found = find(conn, organisation_id, key, request_digest)
    if found is None:
        raise ConflictError(f"A request with Idempotency-Key {key!r} is still in progress; send it again later.")
    return found


def find(conn: Connection, organisation_id: int, key: str, request_digest: str) -> Existing | None:
    """What this request was answered before; None if it was not. Raises IdempotencyMismatchError as `claim`."""
    row = conn.execute(
        "select request_digest, response from idempotency_keys where organisation_id = %s and key = %s"
        " and created_at >= now() - make_interval(secs => %s)",
        (organisation_id, key, KEPT_S),
    ).fetchone()
    if row is not None and row["request_digest"] != request_digest:
        raise IdempotencyMismatchError(f"Idempotency-Key {key!r} was used before with another request; send a new key.")
    return None if row is None or row["response"] is None else Existing(row["response"])


def complete(conn: Connection, organisation_id: int, key: str, response: Any) -> None:
    """Remember the answer of a claimed key."""
    conn.execute(
        "update idempotency_keys set response = %s where organisation_id = %s and key = %s",
        (as_json(response), organisation_id, key),
    )


def delete_expired(conn: Connection, limit: int) -> int:
    """Forget keys older than 24 hours. Returns how many."""
    return conn.execute(
        "delete from idempotency_keys where (organisation_id, key) in"
        " (select organisation_id, key from idempotency_keys where created_at < now() - make_interval(secs => %s)"
        " order by created_at limit %s for update skip locked)",
        (KEPT_S, limit),
    ).rowcount
