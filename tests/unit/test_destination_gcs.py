"""What is particular to buckets of Google's; what all destinations do is in tests/conformance/test_destinations.py.

The server is a script here: the emulator of the conformance suite asks for no token and loses no part.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qs, quote

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from requests import Session
from requests.exceptions import ConnectionError as NoConnectionError
from requests.exceptions import ReadTimeout

from app.addresses import AddressPolicy
from app.errors import (
    AddressRefusedError,
    HaulageError,
    InvalidInputError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from app.storage.destinations import Destination, Given, gcs, open_destination, tries
from app.storage.destinations.gcs_account import TOKEN_URL, Tokens
from app.storage.destinations.gcs_api import Crc32c, GcsApi, Place
from app.storage.destinations.model import ReplacedMeanwhileError
from tests.fakes.requests_script import Answer, Asked, Script

NONCE = "0123456789abcdef"
PART = f"p/.haulage-{NONCE}.part"
MIB = 1024 * 1024
URL = "https://storage.googleapis.com/upload/storage/v1/b/bucket/o?uploadType=resumable&upload_id=hidden"


@pytest.fixture(scope="module")
def account() -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "type": "service_account",
        "client_email": "robot@project.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "token_uri": "https://elsewhere.example.com/token",
        "universe_domain": "elsewhere.example.com",
    }


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "PAUSES_S", (0, 0))
    monkeypatch.setattr("app.storage.destinations.gcs_api.PAUSES_S", (0, 0))


def api(script: Script, kms_key_name: str = "") -> GcsApi:
    place = Place("bucket", "gs://bucket/p/", gcs.ENDPOINT, kms_key_name)
    return GcsApi(place, script.play(Session()), Tokens(""))


def refusal(status: int, reason: str = "", message: str = "") -> Answer:
    return Answer(status, json.dumps({"error": {"errors": [{"reason": reason}], "message": message}}).encode())


def incomplete(held: int) -> Answer:
    return Answer(308, b"", {"Range": f"bytes=0-{held - 1}"} if held else {})


# Uploads


def test_what_did_not_arrive_is_sent_again() -> None:
    script = Script(incomplete(256 * 1024), incomplete(MIB))
    assert api(script).send(URL, bytes(MIB), 0, "x") == {}
    assert [asked.headers["Content-Range"] for asked in script.asked] == ["bytes 0-1048575/*", "bytes 262144-1048575/*"]
    assert len(script.asked[1].body) == MIB - 256 * 1024


def test_after_a_fault_the_server_is_asked_what_it_has() -> None:
    script = Script(Answer(503), incomplete(2 * MIB), Answer(200, b'{"generation": "7"}'))
    assert api(script).send(URL, bytes(MIB + 5), 2 * MIB, "x", is_last=True) == {"generation": "7"}
    ranges = [asked.headers["Content-Range"] for asked in script.asked]
    assert ranges == ["bytes 2097152-3145732/3145733", "bytes */3145733", "bytes 2097152-3145732/3145733"]


def test_a_lost_answer_to_the_last_part_is_found() -> None:
    script = Script(Answer(fault=NoConnectionError()), Answer(200, b'{"generation": "7"}'))
    assert api(script).send(URL, b"last", 0, "x", is_last=True) == {"generation": "7"}


@pytest.mark.parametrize(
    ("answers", "calls"),
    [
        ([Answer(503), incomplete(2 * MIB), Answer(503), incomplete(2 * MIB), Answer(503)], 5),
        ([incomplete(MIB)], 1),  # less than it had before
        ([Answer(404)], 1),
        ([Answer(410)], 1),
        ([Answer(fault=ReadTimeout())], 1),
    ],
)
def test_an_upload_that_fails_is_a_passing_fault(answers: list[Answer], calls: int) -> None:
    script = Script(*answers)
    with pytest.raises(StorageUnavailableError):
        api(script).send(URL, bytes(MIB), 2 * MIB, "x")
    assert len(script.asked) == calls


@pytest.mark.parametrize("location", ["https://elsewhere.example.com/upload", "http://storage.googleapis.com/u", ""])
def test_an_upload_is_not_led_to_another_host(location: str) -> None:
    script = Script(Answer(200, b"", {"Location": location}))
    with pytest.raises(StorageError, match="another host"):
        api(script).begin("x")
    assert {asked.host for asked in script.asked} == {"storage.googleapis.com"}


def test_a_redirect_is_refused() -> None:
    script = Script(Answer(302, b"", {"Location": "https://elsewhere.example.com/"}))
    with pytest.raises(StorageError, match="302"):
        api(script).generation("x")
    assert len(script.asked) == 1


def test_sources_are_named_with_the_generations_that_are_known() -> None:
    script = Script(Answer(200, b'{"generation": "7", "size": "12"}'))
    found = api(script, "projects/p/key").compose([("jobs/1/a.jsonl", ""), ("p/x y", "5")], PART)
    assert found["generation"] == "7"
    [asked] = script.asked
    assert asked.path.endswith(f"/o/{quote(PART, safe='')}/compose")
    assert asked.query == {"kmsKeyName": "projects/p/key"}
    sources = json.loads(asked.body)["sourceObjects"]
    assert sources == [{"name": "jobs/1/a.jsonl"}, {"name": "p/x y", "generation": "5"}]


def test_a_damaged_upload_is_not_published() -> None:
    size = gcs.PART_BYTES + 1
    checksum = Crc32c()
    checksum.add(b"other bytes")
    found = {"size": str(size), "crc32c": str(checksum), "generation": "7"}
    script = Script(
        Answer(200, b"", {"Location": URL}),
        incomplete(gcs.PART_BYTES),
        Answer(200, json.dumps(found).encode()),
        Answer(),
    )
    writing = gcs.GcsWriting(api(script), "p/x", PART, lambda _: None)
    writing.write(bytes(size))
    with pytest.raises(StorageUnavailableError, match="damaged"):
        writing.publish("0")
    writing.abandon()
    assert not [asked for asked in script.asked if "rewriteTo" in asked.url]
    assert script.asked[-1].method == "DELETE"
    assert script.asked[-1].path.endswith(".part")


def test_a_temporary_object_that_stays_is_told() -> None:
    """The push is made again then, which begins by deleting it."""
    size = gcs.PART_BYTES + 1
    checksum = Crc32c()
    checksum.add(bytes(size))
    found = {"size": str(size), "crc32c": str(checksum), "generation": "7"}
    script = Script(
        Answer(200, b"", {"Location": URL}),
        incomplete(gcs.PART_BYTES),
        Answer(200, json.dumps(found).encode()),
        Answer(200, b'{"done": true}'),
        refusal(403, "forbidden", "needs storage.objects.delete access"),
    )
    writing = gcs.GcsWriting(api(script), "p/x", PART, lambda _: None)
    writing.write(bytes(size))
    with pytest.raises(StorageError, match=r"storage\.objects\.delete"):
        writing.publish("0")


# Copying within Google


def test_a_long_rewrite_goes_on_where_it_was_under_its_conditions() -> None:
    script = Script(Answer(200, b'{"done": false, "rewriteToken": "t1"}'), Answer(200, b'{"done": true}'))
    api(script).rewrite(PART, "7", "p/x y", generation="3")
    first, second = script.asked
    assert first.path.endswith("/o/p%2F.haulage-0123456789abcdef.part/rewriteTo/b/bucket/o/p%2Fx%20y")
    assert first.query == {"sourceGeneration": "7", "ifGenerationMatch": "3"}
    assert second.query == {**first.query, "rewriteToken": "t1"}


def test_a_key_of_kms_is_asked_for_in_each_call_that_makes_an_object() -> None:
    name = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    script = Script(Answer(200, b'{"done": true, "generation": "7"}', {"Location": URL}))
    called = api(script, name)
    called.put("x", b"", generation="0")
    called.begin("x")
    called.rewrite(PART, "7", "x", generation="0")
    asked = [{**each.query} for each in script.asked]
    assert [each.get("kmsKeyName") or each.get("destinationKmsKeyName") for each in asked] == [name] * 3


# Refusals


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (refusal(401, "authError"), StorageError, "nobody is refused (401, authError).*Storage Object User"),
        (
            refusal(403, "forbidden", "no storage.objects.create access"),
            StorageError,
            r"lacks is storage\.objects\.create",
        ),
        (refusal(403, "quotaExceeded"), StorageFullError, "quota"),
        (refusal(403, "rateLimitExceeded"), StorageUnavailableError, "rateLimitExceeded"),
        (refusal(404), StorageError, "'bucket' does not exist"),
        (refusal(412), ReplacedMeanwhileError, "meanwhile"),
        (refusal(429), StorageUnavailableError, "429"),
        (refusal(400, "invalid"), StorageError, "400, invalid"),
        (Answer(400, b"<html>"), StorageError, "400"),
        (Answer(403, b"[1]"), StorageError, "403"),
        (Answer(500, b'{"error": "x"}'), StorageUnavailableError, "500"),
        (Answer(507), StorageFullError, "quota"),
        (Answer(fault=NoConnectionError("hidden")), StorageUnavailableError, "no answer from https://storage"),
    ],
)
def test_refusals_say_what_to_do(answer: Answer, kind: type[HaulageError], text: str) -> None:
    with pytest.raises(kind, match=text.replace("(", r"\(").replace(")", r"\)")) as caught:
        api(Script(answer)).put("x", b"y", generation="0")
    assert type(caught.value) is kind


def test_what_a_server_says_is_not_repeated() -> None:
    answer = refusal(403, "forbidden Bearer hidden", "your token is hidden")
    with pytest.raises(StorageError) as caught:
        api(Script(answer)).put("x", b"y", generation="0")
    assert "hidden" not in caught.value.message


# Credentials


def token_server(then: Answer) -> Callable[[Asked], Answer]:
    def answer(asked: Asked) -> Answer:
        if asked.host != "oauth2.googleapis.com":
            return then
        return Answer(200, b'{"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}')

    return answer


def test_tokens_come_from_google_wherever_the_account_says(account: dict[str, str]) -> None:
    script = Script(token_server(Answer(200, b'{"generation": "1"}')))
    place = Place("bucket", "gs://bucket/p/", gcs.ENDPOINT)
    called = GcsApi(place, script.play(Session()), Tokens(json.dumps(account)))
    called.generation("x")
    called.generation("x")
    assert [asked.host for asked in script.asked] == ["oauth2.googleapis.com"] + ["storage.googleapis.com"] * 2
    assert script.asked[0].url == TOKEN_URL
    assert parse_qs(script.asked[0].body.decode())["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert script.asked[1].headers["Authorization"] == "Bearer token"


def test_a_deleted_key_is_told_with_the_name_of_its_account(account: dict[str, str]) -> None:
    script = Script(Answer(400, b'{"error": "invalid_grant", "error_description": "hidden"}'))
    tokens = Tokens(json.dumps(account))
    with pytest.raises(StorageError, match=r"robot@project.*Make a new key") as caught:
        tokens.headers(script.play(Session()))
    assert "hidden" not in caught.value.message
    assert "PRIVATE" not in caught.value.message


def test_a_token_that_cannot_be_had_now_is_a_passing_fault(account: dict[str, str]) -> None:
    script = Script(Answer(fault=NoConnectionError()))
    with pytest.raises(StorageUnavailableError, match="token"):
        Tokens(json.dumps(account)).headers(script.play(Session()))


@pytest.mark.parametrize(
    "changed", [{"type": "external_account"}, {"type": "authorized_user"}, {"private_key": "x"}, None]
)
def test_other_credentials_are_refused_by_name(account: dict[str, str], changed: dict[str, str] | None) -> None:
    text = "no JSON" if changed is None else json.dumps({**account, **changed})
    with pytest.raises(InvalidInputError, match="service_account") as caught:
        opened(credentials=text)
    assert caught.value.field == "/configuration/credentials"
    assert "PRIVATE" not in caught.value.message


def test_notes_tell_nobody_else_where_the_upload_is(account: dict[str, str]) -> None:
    ours = Tokens(json.dumps(account))
    note = ours.seal(URL)
    assert "upload_id" not in note
    assert (ours.unseal(note), Tokens("").unseal(note)) == (URL, None)


# Settings


def opened(credentials: str = "", allow: str = "", **config: str) -> Destination:
    given = {"bucket": "bucket", "prefix": "p/", **config}
    return open_destination("gcs", Given(given, {"credentials": credentials}, AddressPolicy.parse(allow)))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("bucket", ""),
        ("bucket", "a/b"),
        ("bucket", "Upper"),
        ("bucket", "a?b"),
        ("kms_key_name", "key"),
        ("prefix", "../x"),
        ("endpoint_url", "https://storage.example.com/?x=y"),
    ],
)
def test_settings_are_refused_by_name(setting: str, value: str) -> None:
    with pytest.raises(InvalidInputError, match=setting) as caught:
        opened(**{setting: value})
    assert caught.value.field == f"/configuration/{setting}"


def test_google_itself_wants_credentials() -> None:
    with pytest.raises(InvalidInputError, match="credentials: missing"):
        opened()


@pytest.mark.parametrize(
    "url", ["http://storage.example.com", "https://10.0.0.1", "https://metadata:80", "file:///etc"]
)
def test_an_endpoint_must_be_allowed(url: str) -> None:
    with pytest.raises(AddressRefusedError):
        opened(endpoint_url=url)


def test_a_token_does_not_travel_readable(account: dict[str, str]) -> None:
    destination = opened(json.dumps(account), "http://127.0.0.0/8", endpoint_url="http://127.0.0.1:9")
    assert isinstance(destination, gcs.GcsDestination)
    assert destination._tokens.headers(Session()) == {}
