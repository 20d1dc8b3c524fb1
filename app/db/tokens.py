"""Statements on table tokens: secrets of users and organisations, by their SHA-256 only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.db.pool import Connection
from app.errors import NotFoundError

_COLUMNS = "id, organisation_id, user_id, hint, created_at, last_used_at, expires_at, revoked_at"

# One round trip a request: all three parts of the Authorization header at once. Whatever is revoked, expired, disabled
# or of another organisation leaves its columns null. Lookup is by the hash, so timing tells nothing about a secret.
_RESOLVE = """
select users.id as user_id, users.organisation_id, organisation_secret.id as organisation_token_id,
       instances.id as instance_id,
       array_remove(array[
         case when user_secret.last_used_at is null or user_secret.last_used_at < now() - interval '1 minute'
              then user_secret.id end,
         case when organisation_secret.last_used_at is null
                or organisation_secret.last_used_at < now() - interval '1 minute'
              then organisation_secret.id end], null) as stale
from tokens as user_secret
join users on users.id = user_secret.user_id and users.disabled_at is null
join organisations on organisations.id = users.organisation_id and organisations.disabled_at is null
left join tokens as organisation_secret
  on organisation_secret.hash = %(organisation)s and organisation_secret.user_id is null
  and organisation_secret.organisation_id = users.organisation_id and organisation_secret.revoked_at is null
  and (organisation_secret.expires_at is null or organisation_secret.expires_at > now())
left join instances
  on instances.token_hash = %(instance)s and instances.organisation_id = users.organisation_id
  and instances.deleted_at is null and instances.disabled_at is null
where user_secret.hash = %(user)s and user_secret.revoked_at is null
  and (user_secret.expires_at is null or user_secret.expires_at > now())
"""


@dataclass(frozen=True)
class Token:
    """One secret, without the secret. `user_id` None: it speaks for the organisation."""

    id: int
    organisation_id: int
    user_id: int | None
    hint: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class Resolved:
    """Whom the parts of an Authorization header name; None where the part was not given or is not good."""

    organisation_id: int
    user_id: int
    organisation_token_id: int | None
    instance_id: int | None
    stale: list[int]
    """Tokens whose `last_used_at` is more than a minute behind."""


def resolve(
    conn: Connection, *, user: bytes, organisation: bytes | None = None, instance: bytes | None = None
) -> Resolved | None:
    """Look all parts up by their hashes. None if the user's secret is not good."""
    row = conn.execute(_RESOLVE, {"user": user, "organisation": organisation, "instance": instance}).fetchone()
    return None if row is None else Resolved(**row)


def touch(conn: Connection, token_ids: list[int]) -> None:
    """Note the use; callers do it about once a minute. Whoever comes second in the same moment waits for nobody."""
    conn.execute(
        "update tokens set last_used_at = now() where id in (select id from tokens where id = any(%s)"
        " and (last_used_at is null or last_used_at < now() - interval '1 minute') for update skip locked)",
        (token_ids,),
    )


def insert(
    conn: Connection,
    organisation_id: int,
    user_id: int | None,
    *,
    digest: bytes,
    hint: str,
    expires_at: datetime | None,
) -> Token:
    """Store a token by its hash."""
    row = conn.execute(
        "insert into tokens (organisation_id, user_id, hash, hint, expires_at)"
        " values (%s, %s, %s, %s, %s) returning " + _COLUMNS,
        (organisation_id, user_id, digest, hint, expires_at),
    ).fetchone()
    assert row is not None
    return Token(**row)


def get(conn: Connection, organisation_id: int, token_id: int) -> Token:
    """Raises NotFoundError."""
    row = conn.execute(
        f"select {_COLUMNS} from tokens where id = %s and organisation_id = %s",
        (token_id, organisation_id),
    ).fetchone()
    if row is None:
        raise NotFoundError(f"The organisation has no token {token_id}.")
    return Token(**row)


def find_of_organisation(conn: Connection, organisation_id: int) -> list[Token]:
    """Every token of the organisation and its users, oldest first."""
    rows = conn.execute(
        f"select {_COLUMNS} from tokens where organisation_id = %s order by id",
        (organisation_id,),
    ).fetchall()
    return [Token(**row) for row in rows]


def revoke(conn: Connection, organisation_id: int, token_id: int, *, after_s: float = 0) -> None:
    """End a token now, or let it expire after a grace time (never later than it would have). Raises NotFoundError."""
    done = conn.execute(
        "update tokens set revoked_at = case when %(after)s <= 0 then coalesce(revoked_at, now()) else revoked_at end,"
        " expires_at = case when %(after)s <= 0 then expires_at"
        " else least(expires_at, now() + make_interval(secs => %(after)s)) end"
        " where id = %(token)s and organisation_id = %(organisation)s",
        {"after": float(after_s), "token": token_id, "organisation": organisation_id},
    )
    if not done.rowcount:
        raise NotFoundError(f"The organisation has no token {token_id}.")
