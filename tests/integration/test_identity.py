import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app import cli
from app.errors import ConflictError, InvalidInputError, NotFoundError, UnauthorizedError
from app.services import identity
from app.services.identity import Credentials
from tests.fixtures.door import Door
from tests.fixtures.factories import LOOPBACK


def works(door: Door, user: str, organisation: str | None = None) -> bool:
    try:
        identity.authenticate(door.ctx, Credentials(user, organisation))
    except UnauthorizedError:
        return False
    return True


def test_a_token_is_kept_by_its_hash_only(door: Door) -> None:
    with door.ctx.db.connection() as conn:
        rows = conn.execute("select hash, hint, to_jsonb(tokens)::text as text from tokens").fetchall()
        instances = conn.execute("select to_jsonb(instances)::text as text from instances").fetchall()
    stored = "".join(row["text"] for row in rows + instances)

    for secret in (door.acme.user_secret, door.acme.organisation_secret, door.acme.element_token):
        assert secret not in stored
        assert secret[:10] in stored
    assert all(len(row["hash"]) == 32 for row in rows)


def test_a_rotated_token_works_for_its_grace_time_only(door: Door) -> None:
    first = identity.issue_token(door.ctx, "acme", "engineer")

    second = identity.rotate_token(door.ctx, "acme", first.token.id, grace_s=60)
    assert works(door, first.secret)
    assert works(door, second.secret)

    third = identity.rotate_token(door.ctx, "acme", second.token.id)
    assert not works(door, second.secret)
    assert works(door, third.secret)
    door.execute("update tokens set expires_at = now() where id = %s", first.token.id)
    assert not works(door, first.secret)


def test_a_grace_time_never_lengthens_a_token(door: Door) -> None:
    first = identity.issue_token(door.ctx, "acme", "engineer", lifetime_s=10)

    identity.rotate_token(door.ctx, "acme", first.token.id, grace_s=3600)

    kept = {each.id: each for each in identity.list_tokens(door.ctx, "acme")}[first.token.id]
    assert kept.expires_at == first.token.expires_at


def test_names_are_unique_and_checked(door: Door) -> None:
    with pytest.raises(ConflictError, match="acme"):
        identity.create_organisation(door.ctx, "acme")
    with pytest.raises(ConflictError, match="engineer"):
        identity.create_user(door.ctx, "acme", "engineer")
    with pytest.raises(NotFoundError, match="nobody"):
        identity.create_user(door.ctx, "nobody", "x")
    for name in ("", " ", "a" * 101, "a\nb"):
        with pytest.raises(InvalidInputError, match="accepted"):
            identity.create_organisation(door.ctx, name)


def test_a_token_of_another_tenant_cannot_be_revoked(door: Door) -> None:
    token_id = identity.list_tokens(door.ctx, "acme")[0].id

    for act in (identity.revoke_token, identity.rotate_token):
        with pytest.raises(NotFoundError):
            act(door.ctx, "globex", token_id)


@pytest.fixture
def haulage(door: Door, monkeypatch: pytest.MonkeyPatch) -> Any:
    settings = door.ctx.settings
    for name, value in {
        "DATABASE_URL": settings.database_url,
        "BROKER_URL": settings.broker_url,
        "STORAGE_URL": settings.storage_url,
        "HAULAGE_ENCRYPTION_KEYS": ",".join(settings.encryption_keys),
        "HAULAGE_ID_KEY": settings.id_key,
    }.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli.main, words)

    return run


def test_the_command_line_makes_a_tenant_that_can_call(door: Door, haulage: Any) -> None:
    organisation = json.loads(haulage("org", "create", "initech", "--json").stdout)
    person = json.loads(haulage("user", "create", "--org", "initech", "peter", "--json").stdout)
    as_ = f"User {person['secret']}, Organization {organisation['secret']}"
    assert door.call("GET", "/elements", as_=as_).status_code == 200
    assert "initech" in [each["name"] for each in json.loads(haulage("org", "list", "--json").stdout)]
    assert [each["name"] for each in json.loads(haulage("user", "list", "--org", "initech", "--json").stdout)] == [
        "peter"
    ]

    listed = haulage("token", "list", "--org", "initech")
    assert person["secret"] not in listed.stdout
    assert person["secret"][:10] in listed.stdout
    assert haulage("token", "revoke", "--org", "initech", str(person["tokenId"])).exit_code == 0
    assert door.call("GET", "/elements", as_=as_).status_code == 401
    renewed = json.loads(
        haulage("token", "create", "--org", "initech", "--user", "peter", "--days", "1", "--json").stdout
    )
    as_ = f"User {renewed['secret']}, Organization {organisation['secret']}"
    assert door.call("GET", "/elements", as_=as_).status_code == 200
    for words in (("user", "disable", "--org", "initech", "peter"), ("org", "disable", "initech")):
        assert haulage(*words).exit_code == 0
        assert door.call("GET", "/elements", as_=as_).status_code == 401
        assert haulage(*[word.replace("disable", "enable") for word in words]).exit_code == 0
        assert door.call("GET", "/elements", as_=as_).status_code == 200


def test_mistakes_are_told_in_a_line(haulage: Any) -> None:
    done = haulage("user", "create", "--org", "nobody", "x")

    assert done.exit_code == 1
    assert done.stderr == "Error: There is no organisation 'nobody'.\n"


def test_release_and_keys_run_again_and_again(haulage: Any) -> None:
    assert haulage("release").stdout == "released\n"
    assert haulage("keys", "rotate").stdout.startswith("0 instances")
    assert len(haulage("keys", "generate").stdout.strip()) == 44
    assert haulage("version").exit_code == 0


def test_a_connector_file_is_checked_against_a_live_vendor(
    door: Door, haulage: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HAULAGE_ALLOW_NETWORKS", LOOPBACK)
    file = str(resources.files("app.connectors.catalog").joinpath("sandbox.yaml"))
    password = tmp_path / "password"
    password.write_text("wrong\n")
    url = f"base_url={door.vendor.url}"

    good = haulage("connector", "test", file, "--set", url, "--object", "records")
    refused = haulage("connector", "test", file, "--set", url, "--object", "records", "--set", f"password=@{password}")

    assert good.exit_code == 0, good.output
    assert "usable" in good.stdout
    assert refused.exit_code == 1
    assert "FAIL" in refused.stdout
    assert haulage("connector", "test", file, "--set", "nothing").exit_code == 2


def test_the_command_line_says_at_once_why_there_is_no_database(haulage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:s3cr3t@127.0.0.1:1/haulage")
    refused = haulage("org", "list")
    assert refused.exit_code == 1
    assert re.fullmatch(r"Error: PostgreSQL: .*port 1 failed: Connection refused.*\n", refused.stderr)
    assert "s3cr3t" not in refused.output


def test_the_list_of_commands_is_not_cut(haulage: Any) -> None:
    for words in ((), ("org",), ("user",), ("token",), ("keys",), ("connector",)):
        assert "..." not in haulage(*words, "--help").stdout.replace("[ARGS]...", "")
