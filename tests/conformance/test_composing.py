"""Outputs whose bytes lie in the bucket of the destination: it puts them together, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.segments import Encoding, Segment
from app.errors import StorageError, StorageUnavailableError
from app.storage.destinations import Destination, gcs
from app.storage.destinations.gcs_api import GcsApi
from app.storage.destinations.model import Composing, NotComposedError, ReplacedMeanwhileError
from app.storage.destinations.s3_bucket import S3Bucket
from app.storage.destinations.stored import StoredOutput
from app.storage.places import Bucket
from tests.fixtures.destinations.gate import HttpTrouble
from tests.fixtures.destinations.gcs import GcsPlace
from tests.fixtures.destinations.lake import Lake, lake_of, open_store
from tests.fixtures.destinations.s3_buckets import S3Place
from tests.fixtures.destinations.s3_moto import moto_place, moto_url  # noqa: F401 - fixtures

MIB = 1024 * 1024
PATH = "reports/accounts.jsonl"
NONCE = "c" * 16
SIZES: dict[str, list[int]] = {
    "s3": [6 * MIB, 1000, 1000, 12 * MIB, 2 * MIB],
    "gcs": [300_000, *(1000 for _ in range(40)), 5],
}
CALLS = {
    "s3": (S3Bucket, ["create_upload", "copy_part", "send_part", "part_sizes", "complete_upload"]),
    "gcs": (GcsApi, ["put", "compose", "delete", "rewrite"]),
}


@pytest.fixture(params=["moto", "gcs"])
def lake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Lake:
    place: Any = request.getfixturevalue(f"{request.param}_place")
    monkeypatch.setattr(gcs, "PART_BYTES", 256 * 1024)
    return lake_of(place)


@pytest.fixture
def destination(lake: Lake) -> Iterator[Destination]:
    opened = lake.place.settings.open()
    yield opened
    opened.close()


def filled(lake: Lake, encoding: Encoding = "plain") -> list[Segment]:
    sizes = SIZES[lake.place.settings.kind]
    if encoding == "deflate":
        sizes = [2 * size for size in sizes]  # of random digits in hexadecimal half is left
    return lake.fill(sizes, encoding)


def begun(destination: Destination, output: StoredOutput, notes: list[str] | None = None) -> Composing:
    kept = [] if notes is None else notes
    composing = destination.compose(PATH, nonce=NONCE, output=output, note=kept.append)
    assert composing is not None
    return composing


@pytest.fixture
def calls(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(lake.place.settings.kind, monkeypatch)


class Calls:
    """Names of the calls that change something at the bucket. Before the one at `dies_at` the worker dies; behind it
    where `is_late`. A dead worker makes no calls."""

    def __init__(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.dies_at, self.is_late, self.is_dead = -1, False, False
        owner, names = CALLS[kind]
        for name in names:
            monkeypatch.setattr(owner, name, self._watched(name, getattr(owner, name)))

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*words: Any, **options: Any) -> Any:
            if self.is_dead:
                raise Death
            self.is_dead = len(self.names) == self.dies_at
            self.names.append(name)
            if self.is_dead and not self.is_late:
                raise Death
            answer = call(*words, **options)
            if self.is_dead:
                raise Death
            return answer

        return watched

    def arm(self, at: int, *, is_late: bool = False) -> None:
        self.names, self.dies_at, self.is_late, self.is_dead = [], at, is_late, False


class Death(BaseException):
    """Nothing of ours may catch it."""


@pytest.mark.parametrize("encoding", ["plain", "deflate"])
def test_the_object_is_what_a_client_would_download(
    lake: Lake, destination: Destination, calls: Calls, encoding: Encoding
) -> None:
    output, content = lake.output(filled(lake, encoding))
    composing = begun(destination, output)
    assert sum(composing.compose()) == len(content) == output.total_bytes
    assert lake.place.read(lake.place.prefix + PATH) is None
    composing.publish(composing.state())
    composing.abandon()
    assert lake.place.read(lake.place.prefix + PATH) == content
    assert lake.names() == [lake.place.prefix + PATH]
    assert {"copy_part", "compose"} & set(calls.names)


def test_what_is_long_enough_is_copied_and_the_rest_is_sent(
    moto_place: S3Place,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake = lake_of(moto_place)
    calls = Calls("s3", monkeypatch)
    with HttpTrouble(moto_place.url) as gate:
        lake.store = open_store(moto_place.settings.with_config(endpoint_url=gate.url))
        output, content = lake.output(filled(lake))
        gate.body_bytes = 0
        destination = moto_place.settings.with_config(endpoint_url=gate.url).open()
        composing = begun(destination, output)
        list(composing.compose())
        composing.publish(composing.state())
        destination.close()
    assert calls.names[0] == "create_upload"
    assert sorted(calls.names[1:-2]) == ["copy_part", "copy_part", "send_part", "send_part"]
    assert calls.names[-2:] == ["part_sizes", "complete_upload"]
    assert gate.body_bytes < 7.1 * MIB < len(content) / 2
    assert moto_place.read(moto_place.prefix + PATH) == content


def test_a_tree_of_calls_with_32_sources_each_sends_two_small_pieces(
    gcs_place: GcsPlace, conditional_gcs: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs, "PART_BYTES", 256 * 1024)
    lake, (url, storage) = lake_of(gcs_place), conditional_gcs
    with HttpTrouble(url) as gate:
        lake.store = open_store(gcs_place.settings.with_config(endpoint_url=gate.url))
        output, content = lake.output(lake.fill([600_000, *(20_000 for _ in range(98))], "deflate"))
        storage.composed.clear()
        gate.body_bytes = 0
        destination = gcs_place.settings.with_config(endpoint_url=gate.url).open()
        composing = begun(destination, output)
        list(composing.compose())
        assert lake.names() == [f"{gcs_place.prefix}.haulage-{NONCE}.part"]
        composing.publish(composing.state())
        destination.close()
    assert storage.composed == [32, 32, 32, 5, 4]  # 99 segments, header and trailer
    assert gate.body_bytes < 20_000
    assert gcs_place.read(gcs_place.prefix + PATH) == content


# Where it is not done


def test_a_small_output_is_sent(lake: Lake, destination: Destination) -> None:
    size = {"s3": 6 * MIB, "gcs": 200_000}[lake.place.settings.kind]  # it could be copied
    output, _ = lake.output(lake.fill([size], "plain"))
    assert destination.compose(PATH, nonce=NONCE, output=output, note=lambda _: None) is None


def test_of_short_segments_nothing_can_be_copied_by_s3(s3_place: S3Place) -> None:
    output, _ = lake_of(s3_place).output(lake_of(s3_place).fill([1_600_000] * 6, "plain"))
    destination = s3_place.settings.open()
    assert destination.compose(PATH, nonce=NONCE, output=output, note=lambda _: None) is None
    destination.close()


@pytest.mark.parametrize(
    "elsewhere",
    [{"name": "another-bucket"}, {"endpoint": "https://another.example.com:443"}, {"service": "another"}],
    ids=["bucket", "endpoint", "service"],
)
def test_what_lies_in_another_bucket_is_sent(lake: Lake, destination: Destination, elsewhere: dict[str, str]) -> None:
    output, _ = lake.output(filled(lake))
    assert isinstance(output.store.bucket, Bucket)
    output.store.bucket = replace(output.store.bucket, **elsewhere)
    assert destination.compose(PATH, nonce=NONCE, output=output, note=lambda _: None) is None


def test_r2_is_not_asked_for_parts_of_different_lengths(moto_place: S3Place) -> None:  # noqa: F811
    lake, endpoint = lake_of(moto_place), "https://0123abc.r2.cloudflarestorage.com"
    output, _ = lake.output(filled(lake))
    for url, is_asked in ((endpoint, False), (f"{endpoint}.example.com", True)):
        output.store.bucket = Bucket.at("s3", url, moto_place.bucket)
        destination = moto_place.settings.with_config(endpoint_url=url).open()
        composing = destination.compose(PATH, nonce=NONCE, output=output, note=lambda _: None)
        assert (composing is not None) is is_asked
        destination.close()


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("", "", True),
        ("https://Store.example.com", "https://store.example.com:443/", True),
        ("http://store.example.com:80", "http://store.example.com", True),
        ("http://store.example.com", "https://store.example.com", False),
        ("http://store.example.com/a", "http://store.example.com/b", False),
        ("", "http://store.example.com", False),
    ],
)
def test_buckets_are_the_same_where_their_servers_are(one: str, other: str, is_same: bool) -> None:
    assert (Bucket.at("s3", one, "lake") == Bucket.at("s3", other, "lake")) is is_same


# Where it fails


def is_copy(request: Any) -> bool:
    return "x-amz-copy-source" in request.headers or request.path.partition("?")[0].endswith("/compose")


def test_credentials_that_may_not_read_the_source_make_nothing(lake: Lake) -> None:
    lake.place.put(lake.place.prefix + PATH, b"old")
    with HttpTrouble(lake.place.settings.config["endpoint_url"]) as gate:
        settings = lake.place.settings.with_config(endpoint_url=gate.url)
        lake.store = open_store(settings)
        output, _ = lake.output(filled(lake, "plain"))
        gate.forbid(is_copy)
        destination = settings.open()
        notes: list[str] = []
        composing = begun(destination, output, notes)
        with pytest.raises(NotComposedError):
            list(composing.compose())
        composing.abandon()
        destination.discard(PATH, nonce=NONCE, notes=notes)
        destination.close()
    assert gate.refused
    assert lake.names() == [lake.place.prefix + PATH]
    assert lake.place.read(lake.place.prefix + PATH) == b"old"


@pytest.mark.parametrize("change", ["longer", "shorter", "missing"])
def test_a_segment_that_is_not_as_its_row_says_makes_nothing(lake: Lake, destination: Destination, change: str) -> None:
    segments = filled(lake)
    output, _ = lake.output(segments)
    content = lake.store.read(segments[0].object_key, 0, segments[0].stored_bytes)
    if change == "missing":
        lake.store.delete(segments[0].object_key)
    else:
        lake.store.put(segments[0].object_key, [content + b"more" if change == "longer" else content[:-4]])
    composing = begun(destination, output)
    with pytest.raises(NotComposedError):
        list(composing.compose())
    composing.abandon()
    assert lake.names() == []


def test_what_somebody_else_has_put_between_is_not_taken(gcs_place: GcsPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same length: its generation tells."""
    monkeypatch.setattr(gcs, "PART_BYTES", 256 * 1024)
    lake = lake_of(gcs_place)
    output, _ = lake.output(filled(lake))
    destination = gcs_place.settings.open()
    composing = begun(destination, output)
    steps = composing.compose()
    made_bytes = next(steps)
    [name] = lake.names()
    assert len(lake.place.read(name) or b"") == made_bytes
    lake.place.put(name, bytes(made_bytes))
    with pytest.raises(NotComposedError):
        list(steps)
    composing.abandon()
    destination.close()
    assert lake.names() == []


def test_a_server_that_takes_a_copy_for_an_empty_part_is_found_out(s3_place: S3Place) -> None:
    """nanio does: it knows UploadPart, and passes over the header."""
    lake = lake_of(s3_place)
    output, _ = lake.output(filled(lake))
    destination = s3_place.settings.open()
    composing = begun(destination, output)
    with pytest.raises(NotComposedError, match="UploadPartCopy"):
        list(composing.compose())
    composing.abandon()
    destination.close()
    assert lake.names() == []


def test_a_copy_that_failed_behind_its_status_is_a_passing_fault(moto_place: S3Place) -> None:  # noqa: F811
    """Amazon begins to answer 200 before it has copied, and may then say what went wrong."""
    with HttpTrouble(moto_place.url) as gate:
        settings = moto_place.settings.with_config(endpoint_url=gate.url)
        lake = Lake(moto_place, open_store(settings))
        output, _ = lake.output(filled(lake))
        gate.forbid(is_copy)
        gate.answer(200, b"<Error><Code>InternalError</Code></Error>")
        destination = settings.open()
        composing = begun(destination, output)
        with pytest.raises(StorageUnavailableError):
            list(composing.compose())
        composing.abandon()
        destination.close()
    assert len(gate.refused) > 1
    assert lake.names() == []


def test_a_server_that_refuses_the_parts_when_all_are_there_is_told(
    moto_place: S3Place,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake = lake_of(moto_place)
    output, _ = lake.output(filled(lake))
    destination = moto_place.settings.open()
    composing = begun(destination, output)
    list(composing.compose())

    def refuse(*_: object) -> None:
        raise StorageError("InvalidPart")

    monkeypatch.setattr(S3Bucket, "complete_upload", refuse)
    with pytest.raises(NotComposedError, match="InvalidPart"):
        composing.publish(composing.state())
    composing.abandon()
    destination.close()
    assert lake.names() == []


@pytest.mark.parametrize("was_there", [False, True])
def test_a_stale_state_publishes_nothing(lake: Lake, destination: Destination, was_there: bool) -> None:
    name = lake.place.prefix + PATH
    if was_there:
        lake.place.put(name, b"old")
    output, content = lake.output(filled(lake))
    composing = begun(destination, output)
    list(composing.compose())
    stale = composing.state()
    lake.place.put(name, b"newer")
    with pytest.raises(ReplacedMeanwhileError):
        composing.publish(stale)
    assert lake.place.read(name) == b"newer"
    composing.publish(composing.state())
    assert lake.place.read(name) == content
    assert lake.names() == [name]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_worker_that_dies_at_any_call_leaves_nothing_half(
    lake: Lake, destination: Destination, calls: Calls, is_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.storage.destinations.s3_bucket._CLOCKS", timedelta.max)  # moto dates all uploads alike
    output, content = lake.output(filled(lake, "deflate"))
    name = lake.place.prefix + PATH
    for at in range(len(_trace(lake, destination, calls, output))):
        lake.place.put(name, b"old")
        notes: list[str] = []
        calls.arm(at, is_late=is_late)
        with pytest.raises(Death):
            _push(begun(destination, output, notes))
        calls.arm(-1)
        assert lake.place.read(name) in {b"old", content}
        other = lake.place.settings.open()
        other.discard(PATH, nonce=NONCE, notes=notes)
        other.close()
        assert lake.names() == [name], at


def _trace(lake: Lake, destination: Destination, calls: Calls, output: StoredOutput) -> list[str]:
    """The calls of a push of which nobody dies."""
    calls.arm(-1)
    _push(begun(destination, output))
    return list(calls.names)


def _push(composing: Composing) -> None:
    try:
        list(composing.compose())
        composing.publish(composing.state())
    finally:
        composing.abandon()
