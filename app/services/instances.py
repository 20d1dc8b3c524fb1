"""Instances: a customer's connection to a vendor, with its credentials."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from app.connectors.allowances import LOWERING
from app.connectors.model import Connector
from app.connectors.spec import InstanceSettings, render_base_url, resolve_settings
from app.db import connectors, instances
from app.db.instances import Instance, InstanceFilter, NewInstance
from app.db.pool import Connection
from app.domain.signing import format_key
from app.domain.tokens import TokenKind, hash_of, hint_of, mint
from app.errors import ConfigError, NotFoundError
from app.secrets import MASK, OLDER_KEYS, SIGNATURE_KEY
from app.services import callback_settings
from app.services.context import Caller, Context
from app.services.destinations import try_out
from app.services.elements import connector_of

_KEY_BYTES = 32


@dataclass(frozen=True)
class Wish:
    """What a caller wants an instance to be. None: not said."""

    name: str | None = None
    tags: list[str] | None = None
    configuration: Mapping[str, Any] | None = field(default=None, repr=False)
    """Settings by name, secret ones among them; a null forgets one, `********` keeps a secret as it is."""


@dataclass(frozen=True)
class Shown:
    """An instance as it may be shown."""

    instance: Instance
    configuration: dict[str, str] = field(repr=False)
    """Secrets are masked, but for a signing key that was made in this very call."""
    is_valid: bool = True
    """False where its secrets cannot be decrypted."""
    token: str = field(default=MASK, repr=False)
    """The Element token, in the call that made it and never again."""
    ignored: tuple[str, ...] = ()
    """Names of settings that mean nothing to the connector."""


@dataclass(frozen=True)
class InstancePage:
    """Instances by id. `next_after` is the id of the last one where there are more, else None."""

    instances: list[Shown]
    next_after: int | None


def create_instance(ctx: Context, caller: Caller, element: str, wish: Wish) -> Shown:
    """Store an instance of an element, named by key or id, and issue its token.

    A vendor is not called: provisioning must not depend on whether it is up, and the first job tells what is wrong
    with the credentials. A place that outputs are pushed to is tried out by writing there. Raises NotFoundError,
    InvalidInputError that names each setting, AddressRefusedError.
    """
    token = mint(TokenKind.INSTANCE)
    given = dict(wish.configuration or {})
    callback_settings.check_url(ctx, given)
    made_key = {} if given.get(SIGNATURE_KEY) else {SIGNATURE_KEY: format_key(secrets.token_bytes(_KEY_BYTES))}
    with ctx.db.connection() as conn:
        stored = connectors.get(conn, caller.organisation_id, element)
    connector = connector_of(stored.revision_id, stored.digest, stored.document)
    settings = _settings(ctx, connector, given, {**given, **made_key}, old={})
    if connector.destination:
        try_out(ctx, caller.organisation_id, connector, settings)
    with ctx.db.transaction() as conn:
        instance_id = instances.next_id(conn, id_key=ctx.settings.id_key)
        new = NewInstance(
            id=instance_id,
            organisation_id=caller.organisation_id,
            connector_id=stored.id,
            name=wish.name or connector.name,
            tags=wish.tags or [],
            configuration=dict(settings.config),
            secrets=ctx.vault.seal(caller.organisation_id, instance_id, settings.secrets),
            token_hash=hash_of(token),
            token_hint=hint_of(token),
        )
        instances.insert(conn, new)
        instance = instances.get(conn, caller.organisation_id, instance_id)
    shown = _shown(ctx, instance)
    return replace(
        shown, token=token, configuration={**shown.configuration, **made_key}, ignored=_ignored(connector, given)
    )


def get_instance(ctx: Context, caller: Caller, instance_id: int, *, element: str | None = None) -> Shown:
    """Raises NotFoundError, also where the instance is not one of `element`."""
    with ctx.db.connection() as conn:
        return _shown(ctx, _find(conn, caller, instance_id, element))


def list_instances(
    ctx: Context, caller: Caller, *, after: int, page_size: int, narrow: InstanceFilter, element: str | None = None
) -> InstancePage:
    """Instances of the tenant by id. Raises NotFoundError for an unknown element."""
    with ctx.db.connection() as conn:
        if element is not None:
            narrow = replace(narrow, connector_id=connectors.get(conn, caller.organisation_id, element).id)
        found = instances.find_page(conn, caller.organisation_id, after, page_size + 1, narrow)
    more = len(found) > page_size
    return InstancePage([_shown(ctx, each) for each in found[:page_size]], found[page_size - 1].id if more else None)


def change_instance(
    ctx: Context, caller: Caller, instance_id: int, wish: Wish, *, element: str | None = None, is_whole: bool = False
) -> Shown:
    """Change what the wish says; with `is_whole` settings that it leaves out go back to their defaults.

    Running jobs read the new credentials at their next leg. A place that outputs are pushed to is tried out with the
    new settings. Raises NotFoundError, InvalidInputError, AddressRefusedError, ConflictError where too many signing
    keys would be valid at once.
    """
    callback_settings.check_url(ctx, wish.configuration or {})
    if wish.configuration is not None:
        _try_out_changed(ctx, caller, instance_id, wish.configuration, element, is_whole=is_whole)
    with ctx.db.transaction() as conn:
        instance = _find(conn, caller, instance_id, element, lock=True)
        stored = connectors.get(conn, caller.organisation_id, str(instance.connector_id))
        connector = connector_of(stored.revision_id, stored.digest, stored.document)
        changed = replace(
            instance,
            name=wish.name or instance.name,
            tags=instance.tags if wish.tags is None else wish.tags,
        )
        if wish.configuration is not None:
            changed = _reconfigured(ctx, connector, changed, wish.configuration, is_whole=is_whole)
        instances.update(conn, changed)
        instance = instances.get(conn, caller.organisation_id, instance_id)
    return replace(_shown(ctx, instance), ignored=_ignored(connector, wish.configuration or {}))


def _try_out_changed(
    ctx: Context,
    caller: Caller,
    instance_id: int,
    given: Mapping[str, Any],
    element: str | None,
    *,
    is_whole: bool,
) -> None:
    """Before anything is locked: the place may take seconds to answer."""
    with ctx.db.connection() as conn:
        instance = _find(conn, caller, instance_id, element)
        stored = connectors.get(conn, caller.organisation_id, str(instance.connector_id))
    connector = connector_of(stored.revision_id, stored.digest, stored.document)
    if connector.destination:
        changed = _reconfigured(ctx, connector, instance, given, is_whole=is_whole)
        secrets_then = ctx.vault.open(instance.organisation_id, instance.id, changed.secrets)
        try_out(ctx, caller.organisation_id, connector, InstanceSettings(changed.configuration, secrets_then))


def set_instance_disabled(
    ctx: Context, caller: Caller, instance_id: int, *, disabled: bool, element: str | None = None
) -> Shown:
    """Disable: its token is refused and its jobs abort, restartable. Raises NotFoundError."""
    with ctx.db.transaction() as conn:
        _find(conn, caller, instance_id, element)
        instances.set_disabled(conn, caller.organisation_id, instance_id, disabled=disabled)
        return _shown(ctx, _find(conn, caller, instance_id, element))


def delete_instance(ctx: Context, caller: Caller, instance_id: int, *, element: str | None = None) -> None:
    """Delete; the sweeper aborts its jobs. Raises NotFoundError."""
    with ctx.db.transaction() as conn:
        _find(conn, caller, instance_id, element)
        instances.delete(conn, caller.organisation_id, instance_id)


def _find(conn: Connection, caller: Caller, instance_id: int, element: str | None, *, lock: bool = False) -> Instance:
    instance = instances.get(conn, caller.organisation_id, instance_id, lock=lock)
    if element not in {None, instance.connector_key, str(instance.connector_id)}:
        raise NotFoundError(f"There is no instance {instance_id}.")
    return instance


def _reconfigured(
    ctx: Context, connector: Connector, instance: Instance, given: Mapping[str, Any], *, is_whole: bool
) -> Instance:
    secrets_now = ctx.vault.open(instance.organisation_id, instance.id, instance.secrets)
    # An instance always has a signing key: receivers that verify must not be left without one.
    kept = {SIGNATURE_KEY: secrets_now[SIGNATURE_KEY]} if SIGNATURE_KEY in secrets_now else {}
    base = kept if is_whole else {**instance.configuration, **secrets_now}
    wanted = {**base, **given, **(kept if given.get(SIGNATURE_KEY, "") is None else {})}
    settings = _settings(ctx, connector, given, wanted, old=secrets_now)
    return replace(
        instance,
        configuration=dict(settings.config),
        secrets=ctx.vault.seal(instance.organisation_id, instance.id, settings.secrets),
    )


def _settings(
    ctx: Context, connector: Connector, named: Mapping[str, Any], given: Mapping[str, Any], *, old: Mapping[str, str]
) -> InstanceSettings:
    """The settings with masks replaced by what they hide, checked against the connector and the address policy.

    `named`: those of this very call; `given`: all that are to be.
    """
    hidden = connector.secret_names | callback_settings.SECRET_NAMES
    wanted = {name: old.get(name) if value == MASK and name in hidden else value for name, value in given.items()}
    texts = {name: _as_text(value) for name, value in wanted.items() if value is not None}
    settings = resolve_settings(connector, texts)
    if not connector.destination:
        ctx.addresses.check_url(render_base_url(connector, settings.config))
    plain, secret = callback_settings.checked(ctx, named, wanted, old)
    return InstanceSettings({**settings.config, **plain}, {**settings.secrets, **secret})


def _as_text(value: Any) -> Any:
    """JSON's booleans as the vendor's configuration spells them."""
    return str(value).lower() if isinstance(value, bool) else value


def _ignored(connector: Connector, given: Mapping[str, Any]) -> tuple[str, ...]:
    known = {each.name for each in connector.settings} | {*callback_settings.NAMES, *LOWERING}
    return tuple(sorted(name for name in given if name not in known))


def _shown(ctx: Context, instance: Instance) -> Shown:
    try:
        hidden = ctx.vault.open(instance.organisation_id, instance.id, instance.secrets)
    except ConfigError:
        return Shown(instance, dict(instance.configuration), is_valid=False)
    masked = dict.fromkeys(hidden, MASK)
    masked.pop(OLDER_KEYS, None)
    return Shown(
        instance, {**instance.configuration, **masked, **callback_settings.shown_older_keys(hidden, ctx.now())}
    )
