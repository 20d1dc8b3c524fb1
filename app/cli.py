"""`haulage`: the operator's side door. Each command calls one service and prints what it gave."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from app.bootstrap import build_context, product_version
from app.errors import DatabaseUnavailableError, HaulageError
from app.services.context import Context

_DAY_S = 86400.0
_HOUR_S = 3600.0

as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON.")
of_org = click.option("--org", required=True, metavar="NAME", help="Name of the organisation.")


class _Commands(click.Group):
    """Errors of ours are told in one line, without a trace."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DatabaseUnavailableError as error:
            text = f"{error.message} Is it running (on a laptop: make up), and is DATABASE_URL right?"
            raise click.ClickException(text) from error
        except HaulageError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(product_version(), prog_name="haulage")
def main() -> None:
    """Move records in bulk between vendors' REST APIs and files."""


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(product_version())


@main.command()
def release() -> None:
    """Bring database and catalogue up to this release."""
    from app.config import load_settings, require
    from app.db.migrate import migrate
    from app.services.elements import sync_catalogue

    settings = load_settings()
    require(settings, "database_url")
    for name in migrate(settings.database_url):
        click.echo(f"migrated {name}")
    with _context() as ctx:
        for key in sync_catalogue(ctx):
            click.echo(f"connector {key}")
    click.echo("released")


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: Sequence[str]) -> None:
    """Serve the sandbox, a vendor to try."""
    from app.sandbox.__main__ import main as serve

    sys.exit(serve(list(arguments)))


@main.group()
def org() -> None:
    """Organisations: the tenants."""


@org.command("create")
@click.argument("name")
@as_json
def create_org(name: str, *, is_json: bool) -> None:
    """Make an organisation and print its secret, this once."""
    from app.services.identity import create_organisation

    with _context() as ctx:
        organisation, issued = create_organisation(ctx, name)
    _print({**_row(organisation), "tokenId": issued.token.id, "secret": issued.secret}, is_json=is_json)


@org.command("list")
@as_json
def list_orgs(*, is_json: bool) -> None:
    """List organisations."""
    from app.services.identity import list_organisations

    with _context() as ctx:
        _print([_row(each) for each in list_organisations(ctx)], is_json=is_json)


@org.command("disable")
@click.argument("name")
def disable_org(name: str) -> None:
    """Refuse every call of an organisation."""
    from app.services.identity import set_organisation_disabled

    with _context() as ctx:
        set_organisation_disabled(ctx, name, disabled=True)


@org.command("enable")
@click.argument("name")
def enable_org(name: str) -> None:
    """Let an organisation in again."""
    from app.services.identity import set_organisation_disabled

    with _context() as ctx:
        set_organisation_disabled(ctx, name, disabled=False)


@main.group()
def user() -> None:
    """Users of an organisation."""


@user.command("create")
@of_org
@click.argument("name")
@as_json
def create_user_of(org: str, name: str, *, is_json: bool) -> None:
    """Make a user and print its secret, this once."""
    from app.services.identity import create_user

    with _context() as ctx:
        made, issued = create_user(ctx, org, name)
    _print({**_row(made), "tokenId": issued.token.id, "secret": issued.secret}, is_json=is_json)


@user.command("list")
@of_org
@as_json
def list_users_of(org: str, *, is_json: bool) -> None:
    """List users."""
    from app.services.identity import list_users

    with _context() as ctx:
        _print([_row(each) for each in list_users(ctx, org)], is_json=is_json)


@user.command("disable")
@of_org
@click.argument("name")
def disable_user(org: str, name: str) -> None:
    """Refuse every call of a user."""
    from app.services.identity import set_user_disabled

    with _context() as ctx:
        set_user_disabled(ctx, org, name, disabled=True)


@user.command("enable")
@of_org
@click.argument("name")
def enable_user(org: str, name: str) -> None:
    """Let a user in again."""
    from app.services.identity import set_user_disabled

    with _context() as ctx:
        set_user_disabled(ctx, org, name, disabled=False)


@main.group()
def token() -> None:
    """Secrets of users and organisations."""


@token.command("create")
@of_org
@click.option("--user", metavar="NAME", help="For this user; without it for the organisation.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Expires after so many days.")
@as_json
def create_token(org: str, user: str | None, days: float | None, *, is_json: bool) -> None:
    """Issue a further secret and print it, this once."""
    from app.services.identity import issue_token

    with _context() as ctx:
        issued = issue_token(ctx, org, user, lifetime_s=None if days is None else days * _DAY_S)
    _print({**_row(issued.token), "secret": issued.secret}, is_json=is_json)


@token.command("list")
@of_org
@as_json
def list_tokens_of(org: str, *, is_json: bool) -> None:
    """List secrets, by their first characters."""
    from app.services.identity import list_tokens

    with _context() as ctx:
        _print([_row(each) for each in list_tokens(ctx, org)], is_json=is_json)


@token.command("revoke")
@of_org
@click.argument("token_id", type=int)
def revoke(org: str, token_id: int) -> None:
    """End a secret at once."""
    from app.services.identity import revoke_token

    with _context() as ctx:
        revoke_token(ctx, org, token_id)


@token.command("rotate")
@of_org
@click.argument("token_id", type=int)
@click.option("--grace-hours", type=click.FloatRange(min=0), default=0, help="How long the old one still works.")
@as_json
def rotate(org: str, token_id: int, grace_hours: float, *, is_json: bool) -> None:
    """Replace a secret and print the new one, this once."""
    from app.services.identity import rotate_token

    with _context() as ctx:
        issued = rotate_token(ctx, org, token_id, grace_s=grace_hours * _HOUR_S)
    _print({**_row(issued.token), "secret": issued.secret}, is_json=is_json)


@main.group()
def keys() -> None:
    """Keys that encrypt the credentials of instances."""


@keys.command("generate")
def generate() -> None:
    """Print a new key for HAULAGE_ENCRYPTION_KEYS."""
    from app.secrets import generate_encryption_key

    click.echo(generate_encryption_key())


@keys.command("rotate")
def rotate_keys() -> None:
    """Bring all secrets under the first key.

    Once every process runs with that key. May be stopped and begun again.
    """
    from app.services.identity import rotate_encryption

    after_id, total = 0, 0
    with _context() as ctx:
        while (found := rotate_encryption(ctx, after_id=after_id))[0] != after_id:
            after_id, total = found[0], total + found[1]
    click.echo(f"{total} instances brought under the first key; the other keys may be removed now.")


@main.group()
def connector() -> None:
    """Connectors: one document a vendor."""


@connector.command("json")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def connector_as_json(file: Path) -> None:
    """Print a connector FILE as JSON.

    It is checked first. The output is the body of POST /elements.
    """
    from app.services.probe import checked_document

    click.echo(json.dumps(checked_document(file.read_text(encoding="utf-8")), ensure_ascii=False))


@connector.command("test")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--set", "given", multiple=True, metavar="NAME=VALUE", help="A setting; `NAME=@FILE` reads it from a file."
)
@click.option("--object", "objects", multiple=True, metavar="NAME", help="Read this object; default: all named ones.")
@click.option("--pages", type=click.IntRange(min=1), default=2, show_default=True, help="Pages to read of each.")
@click.option("--page-size", type=click.IntRange(min=1), help="Records a page; default: what the connector says.")
def probe_connector(
    file: Path, given: Sequence[str], objects: Sequence[str], pages: int, page_size: int | None
) -> None:
    """Check a connector FILE against a live vendor. Exit code 1 if something failed."""
    from app.addresses import AddressPolicy
    from app.config import load_settings
    from app.http_client import HttpClient
    from app.services.probe import run_probe

    settings = load_settings()
    http = HttpClient(
        AddressPolicy.parse(settings.allow_networks),
        user_agent=f"haulage/{product_version()}",
        max_body_bytes=settings.page_max_bytes,
    )
    values = dict(_setting(each) for each in given)
    text = file.read_text(encoding="utf-8")
    report = run_probe(text, values, http, objects=objects, page_count=pages, page_size=page_size)
    for line in report.lines():
        click.echo(line)
    sys.exit(report.exit_code)


def _setting(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise click.BadParameter(f"{name!r} is not accepted: NAME=VALUE or NAME=@FILE.", param_hint="--set")
    if not value.startswith("@"):
        return name, value
    try:
        return name, Path(value[1:]).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise click.BadParameter(f"{value[1:]} cannot be read: {error.strerror}.", param_hint="--set") from error


@contextmanager
def _context() -> Iterator[Context]:
    ctx = build_context(pool_size=1)
    try:
        ctx.db.dedicated().close()  # says at once why there is no connection, where the pool would try for long
        yield ctx
    finally:
        ctx.db.close()


def _row(value: Any) -> dict[str, Any]:
    assert is_dataclass(value)
    assert not isinstance(value, type)
    return {name: each for name, each in asdict(value).items() if each is not None}


def _print(found: dict[str, Any] | list[dict[str, Any]], *, is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps(found, default=str))
        return
    for each in found if isinstance(found, list) else [found]:
        click.echo("  ".join(f"{name}={_shown(value)}" for name, value in each.items()))


def _shown(value: Any) -> str:
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else str(value)
