"""Settings: read once, each with a name, a meaning and what it accepts."""

from dataclasses import fields
from pathlib import Path

import pytest

from app.config import Settings, load_settings, require
from app.errors import ConfigError

SECRET = "s3cr3t-value"


def test_defaults_are_taken_where_nothing_is_said() -> None:
    assert load_settings({}) == Settings()
    assert load_settings({"HAULAGE_LEASE_S": ""}).lease_s == 30.0


def test_values_are_read_in_their_types() -> None:
    settings = load_settings(
        {
            "DATABASE_URL": "postgresql://x",
            "HAULAGE_ENCRYPTION_KEYS": " a , b ,",
            "HAULAGE_LEASE_S": "2.5",
            "HAULAGE_RETRY_TRIES": "3",
            "HAULAGE_CALLBACK_SCHEDULE_S": "0, 1.5,60",
            "HAULAGE_SEGMENT_ENCODING": "plain",
        }
    )
    assert settings.database_url == "postgresql://x"
    assert settings.encryption_keys == ("a", "b")
    assert (settings.lease_s, settings.retry_tries) == (2.5, 3)
    assert settings.callback_schedule_s == (0, 1.5, 60)
    assert settings.segment_encoding == "plain"


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("HAULAGE_LEASE_S", "soon", "a number, at least 1"),
        ("HAULAGE_LEASE_S", "0.5", "a number, at least 1"),
        ("HAULAGE_LEASE_S", "nan", "a number"),
        ("HAULAGE_RETENTION_S", "1e13", "a number, at least 1 and at most 3155760000"),
        ("HAULAGE_RETENTION_MAX_S", "1e13", "a number, at least 1 and at most 3155760000"),
        ("HAULAGE_ROW_RETENTION_S", "1e13", "a number, at least 1 and at most 3155760000"),
        ("HAULAGE_RETRY_TRIES", "1.5", "a whole number, at least 1"),
        ("HAULAGE_RETRY_TRIES", "0", "a whole number, at least 1"),
        ("HAULAGE_SEGMENT_ENCODING", "gzip", "one of deflate, plain"),
        ("HAULAGE_CALLBACK_SCHEDULE_S", "0,later", "numbers from 0 on, separated by commas"),
        ("HAULAGE_CALLBACK_SCHEDULE_S", "0,nan", "numbers from 0 on"),
        ("HAULAGE_CALLBACK_SCHEDULE_S", "0,inf", "numbers from 0 on"),
        ("HAULAGE_CALLBACK_SCHEDULE_S", "0,-5", "numbers from 0 on"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(name: str, value: str, accepted: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({name: value})
    assert name in refused.value.message
    assert repr(value) in refused.value.message
    assert accepted in refused.value.message


@pytest.mark.parametrize("url", [f"host=db password={SECRET}", f"mysql://u:{SECRET}@db/x", SECRET])
def test_a_database_url_of_another_kind_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^DATABASE_URL=\(hidden\) .* begins with postgresql://") as refused:
        load_settings({"DATABASE_URL": url})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("ending", ["", "\n", " \n"])
def test_a_value_may_lie_in_a_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "url"
    path.write_text("postgresql://x" + ending)
    assert load_settings({"DATABASE_URL_FILE": str(path)}).database_url == "postgresql://x"
    both = {"DATABASE_URL_FILE": str(path), "DATABASE_URL": "postgresql://y"}
    assert load_settings(both).database_url == "postgresql://y"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL_FILE"):
        load_settings({"DATABASE_URL_FILE": str(tmp_path / "missing")})


def test_no_secret_is_shown() -> None:
    secret_names = [spec.name for spec in fields(Settings) if spec.metadata["secret"]]
    assert {"database_url", "broker_url", "encryption_keys", "id_key"} <= set(secret_names)
    environ = {spec.metadata["env"]: SECRET for spec in fields(Settings) if spec.metadata["secret"]}
    environ["DATABASE_URL"] = f"postgresql://haulage:{SECRET}@db/haulage"
    assert SECRET not in repr(load_settings(environ))


def test_what_is_missing_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        require(Settings(database_url="x"), "database_url", "broker_url", "id_key")
    assert "BROKER_URL, HAULAGE_ID_KEY" in refused.value.message
    assert "DATABASE_URL" not in refused.value.message
    require(Settings(database_url="x"), "database_url")


def test_every_setting_has_a_name_and_a_meaning() -> None:
    names = [spec.metadata["env"] for spec in fields(Settings)]
    assert len(set(names)) == len(names)
    assert all(spec.metadata["doc"] for spec in fields(Settings))
