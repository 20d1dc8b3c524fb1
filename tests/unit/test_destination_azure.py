"""What is particular to Azure's containers; what all destinations do is in tests/conformance/test_destinations.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from hypothesis import given
from hypothesis import strategies as st
from requests.exceptions import ConnectionError as NoConnectionError

from app.addresses import AddressPolicy
from app.errors import (
    AddressRefusedError,
    HaulageError,
    InvalidInputError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from app.storage.destinations import Destination, Given, azure, open_destination, tries
from app.storage.destinations.model import ReplacedMeanwhileError
from tests.fakes.requests_script import Answer, Asked, Script
from tests.fixtures.destinations.azure import AzurePlace
from tests.fixtures.destinations.model import Settings

NONCE = "0123456789abcdef"
KEY = "c2VjcmV0"
MADE = Answer(201, b"", {"ETag": '"0x1"', "Last-Modified": "Sun, 22 Nov 2026 10:00:00 GMT"})


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "PAUSES_S", (0, 0))


def opened(**config: str) -> azure.AzureDestination:
    return opened_with({"account_key": KEY}, **config)


def opened_with(secrets: Mapping[str, str], /, **config: str) -> azure.AzureDestination:
    given = {"account_name": "account", "container": "box", "prefix": "p/", **config}
    destination = open_destination("azure", Given(given, secrets, AddressPolicy()))
    assert isinstance(destination, azure.AzureDestination)
    return destination


def scripted(*answers: Answer | Callable[[Asked], Answer], **config: str) -> tuple[azure.AzureDestination, Script]:
    destination, script = opened(**config), Script(*answers)
    script.play(destination._container._session)
    return destination, script


def refusal(status: int, code: str = "") -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>hidden sig=hidden</Message></Error>"
    return Answer(status, body.encode(), {"x-ms-error-code": code, "Content-Type": "application/xml"} if code else {})


def push(destination: Destination, content: bytes) -> None:
    writing = destination.begin("x", nonce=NONCE, most_bytes=len(content), note=lambda _: None)
    try:
        writing.write(content)
        writing.publish(writing.state())
    finally:
        writing.abandon()


# Blocks


@given(st.integers(min_value=0, max_value=azure.MOST_OBJECT_BYTES))
def test_blocks_are_never_too_many_nor_too_long(most_bytes: int) -> None:
    for usual in (azure.BLOCK_BYTES, azure.COPY_BYTES):
        size = azure.block_bytes(usual, most_bytes)
        assert -(-most_bytes // size) <= azure.MOST_BLOCKS
        assert usual <= size <= 4000 * 1024 * 1024


def test_an_object_that_azure_could_not_take_is_refused_before_its_first_byte() -> None:
    with pytest.raises(StorageError, match="more than a blob may have"):
        opened().begin("x", nonce=NONCE, most_bytes=azure.MOST_OBJECT_BYTES + 1, note=lambda _: None)


def test_blocks_that_somebody_elses_list_dropped_are_copied_again() -> None:
    """Should another program write to the same blob while Azure copies: the service asks for the state, and again."""
    commits = 0

    def answer(asked: Asked) -> Answer:
        nonlocal commits
        if asked.query.get("comp") == "blocklist" and ".part" not in asked.path:
            commits += 1
            return refusal(400, "InvalidBlockList") if commits == 1 else MADE
        return MADE if asked.method == "PUT" else Answer(202 if asked.method == "DELETE" else 404)

    destination, script = scripted(answer)
    writing = destination.begin("x", nonce=NONCE, most_bytes=1, note=lambda _: None)
    writing.write(bytes(azure.BLOCK_BYTES + 1))
    with pytest.raises(ReplacedMeanwhileError):
        writing.publish(None)
    writing.publish(None)
    copies = [asked for asked in script.asked if "x-ms-copy-source" in asked.headers]
    assert len(copies) == 2
    assert len([asked for asked in script.asked if len(asked.body) > 1000]) == 1, "nothing is sent twice"


def test_the_copys_source_is_read_with_a_token_of_its_own() -> None:
    destination, script = scripted(MADE)
    destination._container.copy("p/s", 10, "p/x", NONCE, block=10, etag='"0x7"')
    source = urlsplit(script.asked[0].headers["x-ms-copy-source"])
    token = parse_qs(source.query)
    assert (source.netloc, source.path) == ("account.blob.core.windows.net", "/box/p/s")
    assert (token["sp"], token["sr"]) == (["r"], ["b"])
    assert datetime.fromisoformat(token["se"][0]) < datetime.now(UTC) + timedelta(hours=3)
    assert script.asked[1].headers["If-Match"] == '"0x7"'


def test_an_encryption_scope_is_asked_for_in_each_call_that_makes_a_blob() -> None:
    destination, script = scripted(MADE, encryption_scope="ours")
    container = destination._container
    container.put("a", b"x", etag=None)
    container.stage("a", "0", b"x")
    container.commit("a", ["0"])
    container.copy("a", 1, "b", NONCE, block=1, etag=None)
    assert [asked.headers.get("x-ms-encryption-scope") for asked in script.asked] == ["ours"] * 5


# Refusals


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (refusal(403, "AuthenticationFailed"), StorageError, "account_key does not fit account account"),
        (refusal(403, "AuthorizationPermissionMismatch"), StorageError, "it needs the rights to read, create"),
        (refusal(404, "ContainerNotFound"), StorageError, "container 'box' does not exist"),
        (refusal(409, "BlobAlreadyExists"), ReplacedMeanwhileError, "meanwhile"),
        (refusal(412, "ConditionNotMet"), ReplacedMeanwhileError, "meanwhile"),
        (refusal(409, "BlobImmutableDueToPolicy"), StorageError, "BlobImmutableDueToPolicy"),
        (refusal(503, "ServerBusy"), StorageUnavailableError, "ServerBusy"),
        (refusal(500), StorageUnavailableError, "500"),
        (refusal(507), StorageFullError, "full"),
        (Answer(302, b"", {"Location": "https://elsewhere.example.com/"}), StorageError, "not followed"),
        (Answer(fault=NoConnectionError("hidden")), StorageUnavailableError, "no answer from https://account"),
    ],
)
def test_refusals_say_what_to_do(answer: Answer, kind: type[HaulageError], text: str) -> None:
    destination, script = scripted(answer)
    with pytest.raises(kind, match=text) as caught:
        destination._container.put("x", b"y", etag=None)
    assert type(caught.value) is kind
    assert "hidden" not in caught.value.message
    assert {asked.host for asked in script.asked} == {"account.blob.core.windows.net"}


# Settings


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("account_name", ""),
        ("account_name", "account.evil.example.com/"),
        ("container", ""),
        ("container", "a/b"),
        ("container", "UPPER"),
        ("encryption_scope", "a b"),
        ("prefix", "../x"),
        ("account_url", "https://account.blob.core.windows.net/?sig=hidden"),
    ],
)
def test_settings_are_refused_by_name(setting: str, value: str) -> None:
    with pytest.raises(InvalidInputError, match=setting) as caught:
        opened(**{setting: value})
    assert caught.value.field == f"/configuration/{setting}"
    assert "hidden" not in caught.value.message


@pytest.mark.parametrize(
    ("secrets", "field"),
    [
        ({}, "account_key"),
        ({"account_key": KEY, "sas_token": "sig=hidden"}, "account_key"),
        ({"account_key": "hidden!"}, "account_key"),
        ({"sas_token": "hidden"}, "sas_token"),
    ],
)
def test_secrets_are_refused_by_name(secrets: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        opened_with(secrets)
    assert caught.value.field == f"/configuration/{field}"
    assert "hidden" not in caught.value.message


@pytest.mark.parametrize("url", ["http://account.example.com", "https://10.0.0.1", "https://169.254.169.254"])
def test_an_account_url_must_be_allowed(url: str) -> None:
    with pytest.raises(AddressRefusedError):
        opened(account_url=url)


# SAS tokens, at Azurite


def with_token(place: AzurePlace, **rights: bool) -> Settings:
    config, key = place.settings.config, place.settings.secrets["account_key"]
    token = generate_container_sas(
        config["account_name"],
        config["container"],
        account_key=key,
        permission=ContainerSasPermissions(**rights),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return Settings("azure", config, {"sas_token": f"?{token}"})


def test_a_token_of_the_container_is_enough(azure_place: AzurePlace) -> None:
    destination = with_token(azure_place, read=True, create=True, write=True, delete=True).open()
    content = bytes(azure.BLOCK_BYTES + 1)
    destination.check()
    push(destination, content)
    destination.close()
    assert azure_place.read("some/prefix/x") == content
    assert azure_place.unfinished() == []


@pytest.mark.parametrize("lacking", ["read", "write", "delete"])
def test_a_token_that_lacks_a_right_is_told_when_the_instance_is_made(azure_place: AzurePlace, lacking: str) -> None:
    rights = {name: name != lacking for name in ("read", "create", "write", "delete")}
    settings = with_token(azure_place, **rights)
    destination = settings.open()
    with pytest.raises(StorageError, match="needs the rights to read, create, write and delete") as caught:
        destination.check()
    destination.close()
    assert settings.secrets["sas_token"] not in caught.value.message
    assert "sig=" not in caught.value.message
