"""Who may call: organisations, users and their tokens; and who is calling now."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.db import instances, organisations, tokens, users
from app.db.organisations import Organisation
from app.db.pool import Connection
from app.db.tokens import Token
from app.db.users import User
from app.domain.tokens import TokenKind, hash_of, hint_of, mint
from app.errors import InvalidInputError, UnauthorizedError
from app.services.context import Caller, Context

_REFUSED = "The secrets in the Authorization header are wrong, revoked, expired or do not belong together."


@dataclass(frozen=True)
class Credentials:
    """The parts of an Authorization header. None: the part was not sent."""

    user: str = field(repr=False)
    organisation: str | None = field(default=None, repr=False)
    element: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class IssuedToken:
    """A new token and, this once, its secret."""

    token: Token
    secret: str = field(repr=False)


def authenticate(ctx: Context, credentials: Credentials) -> Caller:
    """Find out who calls, in one statement. Raises UnauthorizedError; which part was wrong is not told."""
    with ctx.db.connection() as conn:
        found = tokens.resolve(
            conn,
            user=hash_of(credentials.user),
            organisation=_hash(credentials.organisation),
            instance=_hash(credentials.element),
        )
        if found is None:
            raise UnauthorizedError(_REFUSED)
        if credentials.organisation is not None and found.organisation_token_id is None:
            raise UnauthorizedError(_REFUSED)
        if credentials.element is not None and found.instance_id is None:
            raise UnauthorizedError(_REFUSED)
        if found.stale:
            tokens.touch(conn, found.stale)
    return Caller(found.organisation_id, found.user_id, found.instance_id)


def create_organisation(ctx: Context, name: str) -> tuple[Organisation, IssuedToken]:
    """A new tenant with its first secret. Raises ConflictError if the name is taken."""
    with ctx.db.transaction() as conn:
        organisation = organisations.insert(conn, _name(name), id_key=ctx.settings.id_key)
        return organisation, _issue(conn, organisation.id, None)


def create_user(ctx: Context, organisation_name: str, name: str) -> tuple[User, IssuedToken]:
    """A new user with its first secret. Raises NotFoundError, ConflictError."""
    with ctx.db.transaction() as conn:
        organisation = organisations.get_by_name(conn, organisation_name)
        user = users.insert(conn, organisation.id, _name(name), id_key=ctx.settings.id_key)
        return user, _issue(conn, organisation.id, user.id)


def list_organisations(ctx: Context) -> list[Organisation]:
    """Every tenant."""
    with ctx.db.connection() as conn:
        return organisations.find_all(conn)


def list_users(ctx: Context, organisation_name: str) -> list[User]:
    """Every user of a tenant. Raises NotFoundError."""
    with ctx.db.connection() as conn:
        return users.find_of_organisation(conn, organisations.get_by_name(conn, organisation_name).id)


def set_organisation_disabled(ctx: Context, name: str, *, disabled: bool) -> None:
    """Lock a tenant out or let it in again. Raises NotFoundError."""
    with ctx.db.connection() as conn:
        organisations.set_disabled(conn, organisations.get_by_name(conn, name).id, disabled=disabled)


def set_user_disabled(ctx: Context, organisation_name: str, name: str, *, disabled: bool) -> None:
    """Lock a user out or let them in again. Raises NotFoundError."""
    with ctx.db.connection() as conn:
        organisation = organisations.get_by_name(conn, organisation_name)
        users.set_disabled(conn, users.get_by_name(conn, organisation.id, name).id, disabled=disabled)


def list_tokens(ctx: Context, organisation_name: str) -> list[Token]:
    """Every token of a tenant and its users. Raises NotFoundError."""
    with ctx.db.connection() as conn:
        return tokens.find_of_organisation(conn, organisations.get_by_name(conn, organisation_name).id)


def issue_token(
    ctx: Context, organisation_name: str, user_name: str | None, *, lifetime_s: float | None = None
) -> IssuedToken:
    """A further token of a user, or of the organisation. Raises NotFoundError."""
    expires_at = None if lifetime_s is None else ctx.now() + timedelta(seconds=lifetime_s)
    with ctx.db.transaction() as conn:
        organisation = organisations.get_by_name(conn, organisation_name)
        user_id = None if user_name is None else users.get_by_name(conn, organisation.id, user_name).id
        return _issue(conn, organisation.id, user_id, expires_at=expires_at)


def revoke_token(ctx: Context, organisation_name: str, token_id: int) -> None:
    """End a token at once. Raises NotFoundError."""
    with ctx.db.connection() as conn:
        tokens.revoke(conn, organisations.get_by_name(conn, organisation_name).id, token_id)


def rotate_token(ctx: Context, organisation_name: str, token_id: int, *, grace_s: float = 0) -> IssuedToken:
    """A new token in the place of another, which still works for `grace_s`. Raises NotFoundError."""
    with ctx.db.transaction() as conn:
        organisation = organisations.get_by_name(conn, organisation_name)
        old = tokens.get(conn, organisation.id, token_id)
        tokens.revoke(conn, organisation.id, token_id, after_s=grace_s)
        return _issue(conn, organisation.id, old.user_id)


def rotate_encryption(ctx: Context, *, after_id: int = 0, batch_size: int = 100) -> tuple[int, int]:
    """Bring the secrets of up to `batch_size` instances under the first encryption key.

    Returns (last id looked at, how many were changed); the last id is `after_id` when there are no more. May be stopped
    and begun again at any time, and runs beside live traffic. Raises ConfigError if a key is missing.
    """
    changed = 0
    with ctx.db.connection() as conn:
        for instance_id, sealed in instances.find_sealed(conn, after_id, batch_size):
            after_id = instance_id
            resealed = ctx.vault.reseal(sealed)
            changed += resealed is not None and instances.replace_sealed(conn, instance_id, old=sealed, new=resealed)
    return after_id, changed


def _issue(
    conn: Connection, organisation_id: int, user_id: int | None, *, expires_at: datetime | None = None
) -> IssuedToken:
    secret = mint(TokenKind.ORGANISATION if user_id is None else TokenKind.USER)
    stored = tokens.insert(
        conn, organisation_id, user_id, digest=hash_of(secret), hint=hint_of(secret), expires_at=expires_at
    )
    return IssuedToken(stored, secret)


def _hash(secret: str | None) -> bytes | None:
    return None if secret is None else hash_of(secret)


def _name(name: str) -> str:
    if not name.strip() or len(name) > 100 or not name.isprintable():  # noqa: PLR2004 - the accepted range is in the text
        raise InvalidInputError(f"name {name!r} is not accepted: 1 to 100 printable characters.", field="name")
    return name.strip()
