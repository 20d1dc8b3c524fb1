"""Buckets as destinations: calls that are made, conditions that the server checks, settings, and addresses."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.addresses import AddressPolicy
from app.domain.parts import USUAL_PART_BYTES
from app.errors import (
    AddressRefusedError,
    InvalidInputError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from app.storage.destinations import Given, open_destination, s3_client
from app.storage.destinations.model import Destination, ReplacedMeanwhileError, Writing
from app.storage.destinations.s3_bucket import S3Bucket
from tests.fixtures.destinations.child import chunks
from tests.fixtures.destinations.gate import HttpTrouble
from tests.fixtures.destinations.s3_buckets import S3Place
from tests.fixtures.destinations.s3_moto import moto_place, moto_url  # noqa: F401 - fixtures
from tests.fixtures.proxy import MakeProxy

NONCE = "a" * 16
CONFIG = {"bucket": "bucket", "region": "eu-central-1", "access_key_id": "AKIAKEY"}
SECRETS = {"secret_access_key": "the-secret"}
LARGE = b"".join(chunks(2 * USUAL_PART_BYTES + 5))
NOT_IMPLEMENTED = b"<Error><Code>NotImplemented</Code><Message>a header</Message></Error>"


@pytest.fixture
def destination(moto_place: S3Place) -> Iterator[Destination]:  # noqa: F811
    opened = moto_place.settings.open()
    yield opened
    opened.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Every call that is made, with its parameters, in order."""
    made: list[tuple[str, dict[str, Any]]] = []
    once = S3Bucket._once

    def noting(bucket: S3Bucket, call: str, name: str, **parameters: Any) -> Any:
        made.append((call, parameters))
        return once(bucket, call, name, **parameters)

    monkeypatch.setattr(S3Bucket, "_once", noting)
    return made


def begin(destination: Destination, content: bytes, notes: list[str] | None = None) -> Writing:
    kept = [] if notes is None else notes
    writing = destination.begin("a.jsonl", nonce=NONCE, most_bytes=len(content), note=kept.append)
    writing.write(content)
    return writing


def open_with(config: dict[str, str] | None = None, secrets: dict[str, str] | None = None, allow: str = "") -> Any:
    given = Given({**CONFIG, **(config or {})}, {**SECRETS, **(secrets or {})}, AddressPolicy.parse(allow))
    return open_destination("s3", given)


def names(calls: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    return [call for call, _ in calls]


def test_a_small_output_is_one_put(destination: Destination, calls: list[tuple[str, dict[str, Any]]]) -> None:
    notes: list[str] = []
    writing = begin(destination, LARGE[:USUAL_PART_BYTES], notes)
    writing.publish(writing.state())
    assert names(calls) == ["head_object", "head_object", "put_object"]
    assert notes == []


def test_parts_are_equal_but_the_last_as_r2_wants_it(
    destination: Destination, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    notes: list[str] = []
    writing = begin(destination, LARGE, notes)
    writing.publish(writing.state())
    sizes = {each["PartNumber"]: len(each["Body"]) for call, each in calls if call == "upload_part"}
    assert sizes == {1: USUAL_PART_BYTES, 2: USUAL_PART_BYTES, 3: 5}
    upload_ids = {each["UploadId"] for _, each in calls if "UploadId" in each}
    begun, noted = notes
    assert upload_ids == {noted.removeprefix("upload ")}
    assert abs(int(begun.removeprefix("begun ")) - time.time()) < 60


def test_the_upload_is_noted_before_a_part_leaves(
    destination: Destination, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    seen: list[list[str]] = []
    writing = destination.begin(
        "a", nonce=NONCE, most_bytes=len(LARGE), note=lambda _: seen.append(names(calls).copy())
    )
    writing.write(LARGE)
    writing.abandon()
    assert seen == [[], ["create_multipart_upload"]]


@pytest.mark.parametrize(("content", "old"), [(b"new", None), (b"new", b"old"), (LARGE, None)])
def test_the_server_itself_compares(
    moto_place: S3Place,  # noqa: F811
    destination: Destination,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    old: bytes | None,
) -> None:
    """Somebody writes after our own look."""
    name = moto_place.prefix + "a.jsonl"
    if old is not None:
        moto_place.put(name, old)
    writing = begin(destination, content)
    state = writing.state()
    monkeypatch.setattr(writing, "state", lambda: state)
    moto_place.put(name, b"theirs")
    with pytest.raises(ReplacedMeanwhileError):
        writing.publish(state)
    assert moto_place.read(name) == b"theirs"
    monkeypatch.undo()
    writing.publish(writing.state())
    assert moto_place.read(name) == content


def test_parts_are_put_together_only_over_the_object_that_was_seen(
    moto_place: S3Place,  # noqa: F811
    destination: Destination,
    calls: list[tuple[str, dict[str, Any]]],
) -> None:
    """By the header: no server that installs here compares it in this call, as Amazon's does."""
    name = moto_place.prefix + "a.jsonl"
    moto_place.put(name, b"old")
    etag = moto_place.admin.head_object(Bucket=moto_place.bucket, Key=name)["ETag"]
    writing = begin(destination, LARGE)
    writing.publish(writing.state())
    assert calls[-1][0] == "complete_multipart_upload"
    assert calls[-1][1]["IfMatch"] == etag


def test_an_object_that_was_deleted_after_our_look_is_no_match(
    moto_place: S3Place,  # noqa: F811
    destination: Destination,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moto_place.put(moto_place.prefix + "a.jsonl", b"old")
    writing = begin(destination, b"new")
    state = writing.state()
    monkeypatch.setattr(writing, "state", lambda: state)
    moto_place.delete(moto_place.prefix + "a.jsonl")
    with pytest.raises(ReplacedMeanwhileError):
        writing.publish(state)


@pytest.mark.parametrize("content", [b"new", LARGE], ids=["put", "parts"])
def test_a_server_that_does_not_know_conditions_is_asked_without(
    moto_place: S3Place,  # noqa: F811
    content: bytes,
    calls: list[tuple[str, dict[str, Any]]],
) -> None:
    with HttpTrouble(moto_place.url) as gate:
        destination = moto_place.settings.with_config(endpoint_url=gate.url).open()
        gate.answer(501, NOT_IMPLEMENTED)
        writing = begin(destination, content)
        state = writing.state()
        original = writing._finish  # type: ignore[attr-defined]

        def refused_once(*arguments: Any) -> None:
            gate.fail(times=1)
            original(*arguments)

        writing._finish = refused_once  # type: ignore[attr-defined]
        writing.publish(state)
        destination.close()
    assert len(gate.refused) == 1
    assert ["IfNoneMatch" in each for _, each in calls[-2:]] == [True, False]
    assert moto_place.read(moto_place.prefix + "a.jsonl") == content


@pytest.mark.parametrize("content", [b"new", LARGE], ids=["put", "parts"])
@pytest.mark.parametrize("fault", [StorageUnavailableError("no answer"), None])
def test_an_answer_that_was_lost_is_found_again(
    moto_place: S3Place,  # noqa: F811
    destination: Destination,
    content: bytes,
    fault: Exception | None,
) -> None:
    """None: the call was repeated on its way, so that its second copy fails."""
    writing = begin(destination, content)
    finish = writing._finish  # type: ignore[attr-defined]

    def twice(*arguments: Any) -> None:
        finish(*arguments)
        if fault:
            raise fault
        finish(*arguments)

    writing._finish = twice  # type: ignore[attr-defined]
    writing.publish(writing.state())
    assert moto_place.read(moto_place.prefix + "a.jsonl") == content


def test_of_two_uploads_also_the_one_that_was_not_noted_is_aborted(s3_place: S3Place) -> None:
    """The first was of an output to be put together, which failed; the worker died as it began to send it."""
    destination = s3_place.settings.open()
    notes: list[str] = []
    for _ in range(2):
        begin(destination, LARGE[: USUAL_PART_BYTES + 1], notes)
    upload = s3_place.admin.create_multipart_upload(Bucket=s3_place.bucket, Key=f"{s3_place.prefix}a.jsonl")
    assert upload["UploadId"]
    destination.discard("a.jsonl", nonce=NONCE, notes=[*notes, f"begun {int(time.time())}"])
    destination.close()
    assert s3_place.unfinished() == []


def test_an_upload_that_somebody_aborted_is_a_passing_fault(s3_place: S3Place) -> None:
    destination = s3_place.settings.open()
    notes: list[str] = []
    writing = begin(destination, LARGE, notes)
    destination.discard("a.jsonl", nonce=NONCE, notes=notes)
    with pytest.raises(StorageUnavailableError, match="aborted meanwhile"):
        writing.publish(writing.state())
    destination.close()
    assert s3_place.names() == []


@pytest.mark.parametrize("name", ["a%41b", "größe (zwei)+&=%'\"#?;:@!$*,.json"])
def test_names_keep_their_characters(moto_place: S3Place, destination: Destination, name: str) -> None:  # noqa: F811
    writing = destination.begin(name, nonce=NONCE, most_bytes=1, note=lambda _: None)
    writing.write(b"x")
    writing.publish(writing.state())
    assert moto_place.names() == [moto_place.prefix + name]


def test_a_key_that_may_not_read_publishes_without_a_condition(
    moto_place: S3Place,  # noqa: F811
    destination: Destination,
    monkeypatch: pytest.MonkeyPatch,
    calls: list[tuple[str, dict[str, Any]]],
) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("AccessDenied")

    monkeypatch.setattr(S3Bucket, "head", refuse)
    monkeypatch.setattr(S3Bucket, "read", refuse)
    destination.check()
    writing = begin(destination, b"x")
    writing.publish(writing.state())
    assert not {"IfMatch", "IfNoneMatch"} & calls[-1][1].keys()
    assert moto_place.names() == [moto_place.prefix + "a.jsonl"]


def test_a_full_bucket_is_told(moto_place: S3Place) -> None:  # noqa: F811
    with HttpTrouble(moto_place.url) as gate:
        destination = moto_place.settings.with_config(endpoint_url=gate.url).open()
        gate.answer(507, b"<Error><Code>XMinioStorageFull</Code></Error>")
        gate.fail()
        with pytest.raises(StorageFullError, match="bucket is full"):
            destination.check()
        destination.close()


def test_encryption_is_asked_for(moto_place: S3Place) -> None:  # noqa: F811
    destination = moto_place.settings.with_config(sse="aws:kms", sse_kms_key_id="alias/mine").open()
    for number, content in enumerate((b"x", LARGE)):
        writing = begin(destination, content)
        writing.publish(writing.state())
        found = moto_place.admin.head_object(Bucket=moto_place.bucket, Key=moto_place.prefix + "a.jsonl")
        assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "alias/mine"), number
    destination.close()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("InvalidAccessKeyId", "does not know this access_key_id"),
        ("SignatureDoesNotMatch", "secret_access_key does not belong"),
        ("ExpiredToken", "session_token has expired"),
        ("AccessDenied", "needs s3:PutObject"),
        ("PermanentRedirect", "another region than 'us-east-1'"),
    ],
)
def test_refusals_say_what_to_change(moto_place: S3Place, code: str, told: str) -> None:  # noqa: F811
    with HttpTrouble(moto_place.url) as gate:
        destination = moto_place.settings.with_config(endpoint_url=gate.url).open()
        gate.answer(403, f"<Error><Code>{code}</Code></Error>".encode())
        gate.fail()
        with pytest.raises(StorageError, match=told):
            destination.check()
        destination.close()


def test_a_slow_line_is_no_fault_while_bytes_move(
    moto_place: S3Place,  # noqa: F811
    make_proxy: MakeProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part takes twice as long as a call may be silent."""
    monkeypatch.setattr(s3_client, "READ_TIMEOUT_S", 2)
    proxy = make_proxy(moto_place.url)
    destination = moto_place.settings.with_config(endpoint_url=proxy.url(moto_place.url)).open()
    content = bytes(24 * 1024 * 1024)
    writing = destination.begin("a", nonce=NONCE, most_bytes=10**12, note=lambda _: None)
    writing.write(content)
    state = writing.state()
    proxy.delay_s = 0.012
    writing.publish(state)
    destination.close()
    assert moto_place.read(moto_place.prefix + "a") == content


# What died between creating an upload and noting it


def test_uploads_that_are_not_the_dead_writers_are_spared(s3_place: S3Place) -> None:
    client, bucket = s3_place.admin, s3_place.bucket
    with_part, empty, other = (
        client.create_multipart_upload(Bucket=bucket, Key=s3_place.prefix + name)["UploadId"]
        for name in ("a.jsonl", "a.jsonl", "a.jsonl.other")
    )
    client.upload_part(Bucket=bucket, Key=s3_place.prefix + "a.jsonl", UploadId=with_part, PartNumber=1, Body=b"x")
    destination = s3_place.settings.open()

    def left() -> set[str]:
        return {each["UploadId"] for each in client.list_multipart_uploads(Bucket=bucket)["Uploads"]}

    destination.discard("a.jsonl", nonce=NONCE, notes=[])
    destination.discard("a.jsonl", nonce=NONCE, notes=[f"begun {int(time.time()) - 3600}"])
    destination.discard("a.jsonl", nonce=NONCE, notes=[f"begun {int(time.time())}", "upload not-there"])
    assert left() == {with_part, empty, other}
    destination.discard("a.jsonl", nonce=NONCE, notes=[f"begun {int(time.time())}"])
    assert left() == {with_part, other}
    destination.close()


def test_a_note_that_cannot_be_kept_leaves_no_upload(s3_place: S3Place) -> None:
    destination = s3_place.settings.open()

    def fail(text: str) -> None:
        if text.startswith("upload"):
            raise StorageUnavailableError("no database")

    writing = destination.begin("a", nonce=NONCE, most_bytes=len(LARGE), note=fail)
    with pytest.raises(StorageUnavailableError):
        writing.write(LARGE)
    writing.abandon()
    destination.close()
    assert s3_place.unfinished() == []


# Settings


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"bucket": ""}, "bucket"),
        ({"bucket": "a/../b"}, "bucket"),
        ({"bucket": "arn:aws:s3:eu-central-1:1:accesspoint/x"}, "bucket"),
        ({"region": "evil.example/#"}, "region"),
        ({"access_key_id": ""}, "access_key_id"),
        ({"sse_kms_key_id": "alias/x"}, "sse_kms_key_id"),
    ],
)
def test_settings_are_refused_by_name(config: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInputError, match=field) as caught:
        open_with(config)
    assert caught.value.field == f"/configuration/{field}"


def test_without_a_secret_this_machines_credentials_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the operator's")
    with pytest.raises(InvalidInputError, match="secret_access_key"):
        open_with(secrets={"secret_access_key": ""})


def test_settings_of_this_machine_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[profile mine]\nregion=eu-west-3\nendpoint_url=http://127.0.0.1:1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name, value in {
        "AWS_PROFILE": "mine",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:2",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:3",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_SESSION_TOKEN": "operator",
        "HTTPS_PROXY": "http://127.0.0.1:4",
    }.items():
        monkeypatch.setenv(name, value)
    client = open_with()._bucket._client
    assert client.meta.endpoint_url == "https://s3.eu-central-1.amazonaws.com"
    assert client._endpoint.http_session._proxy_config.proxy_url_for("https://s3.eu-central-1.amazonaws.com") is None
    credentials = client._get_credentials()
    assert (credentials.access_key, credentials.secret_key, credentials.token) == ("AKIAKEY", "the-secret", None)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:9000", "https://169.254.169.254", "http://s3.example.org", "ftp://x", "https://u:p@x"]
)
def test_an_endpoint_is_checked_when_it_is_named(url: str) -> None:
    with pytest.raises(AddressRefusedError):
        open_with({"endpoint_url": url})


def test_a_name_that_leads_to_a_private_address_is_not_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def resolve(host: str, port: int, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    def dial(*_: object, **__: object) -> None:
        pytest.fail("a connection was made")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", dial)
    for config in ({"endpoint_url": "https://s3.example.org"}, {}):
        destination = open_with(config)
        with pytest.raises(AddressRefusedError, match=r"127\.0\.0\.1"):
            destination.check()
        destination.close()
    assert len(set(asked)) == 2


def test_more_than_s3_takes_is_refused_before_a_byte_leaves() -> None:
    destination = open_with()
    with pytest.raises(StorageError, match="5 TiB"):
        destination.begin("a", nonce=NONCE, most_bytes=6 * 2**40, note=lambda _: None)
    destination.close()


def test_a_server_that_the_library_cannot_call_is_a_wrong_setting() -> None:
    """A name with an underscore, as of containers: our check of addresses takes it, botocore does not."""
    config = {
        "bucket": "exports",
        "region": "us-east-1",
        "access_key_id": "key",
        "endpoint_url": "http://object_store:9000",
    }
    given = Given(config, {"secret_access_key": "hidden"}, AddressPolicy.parse("http://127.0.0.0/8"))
    with pytest.raises(InvalidInputError, match=r"endpoint_url 'http://object_store:9000' .* hyphens only") as refused:
        open_destination("s3", given)
    assert refused.value.field == "/configuration/endpoint_url"
