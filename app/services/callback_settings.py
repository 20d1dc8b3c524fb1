"""What an instance says about its callbacks (reference 4): keys, headers, credentials, where to by default."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.domain.callback_headers import Header, basic_authorization, has_authorization, parse_headers
from app.domain.receivers import Limits
from app.domain.signing_keys import KeyRing, ring_of
from app.errors import ConfigError, ConflictError, InvalidInputError
from app.secrets import CALLBACK_URL, HEADERS, MASK, OLDER_KEYS, PASSWORD, SIGNATURE_KEY, USER_NAME
from app.services.context import Context
from app.services.submission import check_callback

NAMES = frozenset({SIGNATURE_KEY, OLDER_KEYS, CALLBACK_URL, HEADERS, USER_NAME, PASSWORD})
SECRET_NAMES = frozenset({SIGNATURE_KEY, OLDER_KEYS, HEADERS, PASSWORD})
_LONGEST_KEY = 512


def limits_of(ctx: Context) -> Limits:
    """How many attempts a receiver gets, by this installation's settings."""
    settings = ctx.settings
    return Limits(
        settings.callback_host_calls,
        settings.callback_break_after,
        settings.callback_pause_s,
        settings.callback_pause_cap_s,
    )


def key_ring(secrets: Mapping[str, str]) -> KeyRing | None:
    """The signing keys among an instance's secrets; None where it has none."""
    return ring_of(secrets, SIGNATURE_KEY, OLDER_KEYS)


def authenticating_headers(secrets: Mapping[str, str], user_name: str | None) -> list[Header]:
    """What an instance adds to each attempt. Raises ConfigError, which `checked` has seen to for new ones."""
    try:
        headers = parse_headers(str(secrets.get(HEADERS) or ""))
        if user_name:
            headers.append(basic_authorization(user_name, str(secrets.get(PASSWORD) or "")))
    except ValueError as error:
        raise ConfigError(f"of the instance's callback settings, {error}") from error
    return headers


def checked(
    ctx: Context, given: Mapping[str, Any], wanted: Mapping[str, Any], old: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The callback settings among `wanted` as (plain, secret) texts; `given` of them were named in this very call.

    `old`: the secrets until now. Raises InvalidInputError that names the setting, ConflictError where too many keys
    would be valid at once.
    """
    plain = {name: _text(name, wanted[name]) for name in (CALLBACK_URL, USER_NAME) if _is_set(wanted, name)}
    secret = {name: _text(name, wanted[name]) for name in (HEADERS, PASSWORD) if _is_set(wanted, name)}
    _check_headers(secret.get(HEADERS, ""), plain.get(USER_NAME))
    _check_credentials(plain.get(USER_NAME), secret.get(PASSWORD))
    return plain, {**secret, **_keys(ctx, given, wanted, old)}


def check_url(ctx: Context, given: Mapping[str, Any]) -> None:
    """Refuse a default URL that is not to be called; outside any transaction, since its name is looked up.

    Raises InvalidInputError, AddressRefusedError.
    """
    if _is_set(given, CALLBACK_URL):
        check_callback(ctx, _text(CALLBACK_URL, given[CALLBACK_URL]), f"configuration.{CALLBACK_URL}")


def shown_older_keys(secrets: Mapping[str, str], now: datetime) -> dict[str, str]:
    """How older keys are shown: masked, with the time until which one of them is valid. Empty where none is."""
    ring = key_ring(secrets)
    until_s = max((each.valid_until for each in ring.at(now.timestamp()).older), default=0.0) if ring else 0.0
    if not until_s:
        return {}
    until = datetime.fromtimestamp(until_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {OLDER_KEYS: f"{MASK} until {until}"}


def _keys(ctx: Context, given: Mapping[str, Any], wanted: Mapping[str, Any], old: Mapping[str, str]) -> dict[str, str]:
    key, now_s = wanted.get(SIGNATURE_KEY), ctx.now().timestamp()
    if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY:
        raise _refused(SIGNATURE_KEY, f"a text of 1 to {_LONGEST_KEY} characters is accepted")
    if given.get(OLDER_KEYS) is not None and not str(given[OLDER_KEYS]).startswith(MASK):
        raise _refused(OLDER_KEYS, "null is accepted, which ends the keys before the newest at once")
    ring = key_ring(old)
    if ring is None or (OLDER_KEYS in given and given[OLDER_KEYS] is None):
        return {SIGNATURE_KEY: key}
    try:
        ring = ring.rotated(key, now_s, ctx.settings.signing_overlap_s)
    except ValueError as error:
        raise ConflictError(
            f"configuration.{SIGNATURE_KEY}: {error}; null for {OLDER_KEYS} ends those before the newest at once."
        ) from error
    older = ring.older_text()
    return {SIGNATURE_KEY: key, **({OLDER_KEYS: older} if older else {})}


def _check_headers(text: str, user_name: str | None) -> None:
    try:
        headers = parse_headers(text)
    except ValueError as error:
        raise _refused(HEADERS, str(error)) from error
    if user_name and has_authorization(headers):
        raise _refused(HEADERS, f"it has Authorization, and so has {USER_NAME}; one of both is accepted")


def _check_credentials(user_name: str | None, password: str | None) -> None:
    if password is not None and user_name is None:
        raise _refused(USER_NAME, f"it is missing, and {PASSWORD} is of no use without it")
    if user_name is not None:
        try:
            basic_authorization(user_name, password or "")
        except ValueError as error:
            raise _refused(USER_NAME, str(error)) from error


def _is_set(wanted: Mapping[str, Any], name: str) -> bool:
    return wanted.get(name) not in {None, ""}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refused(name, "a text is accepted")
    return value


def _refused(name: str, reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"configuration.{name} is not accepted: {reason.rstrip('.')}.", field=f"/configuration/{name}"
    )
