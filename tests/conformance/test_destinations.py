"""One suite for every place that outputs are pushed to: an object appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.errors import (
    AddressRefusedError,
    HaulageError,
    InvalidInputError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    TransientError,
)
from app.storage.destinations import Destination
from app.storage.destinations.model import ReplacedMeanwhileError, Writing
from tests.fixtures.destinations import PLACES, Traits
from tests.fixtures.destinations.child import Writer, chunks
from tests.fixtures.destinations.model import Place, Settings

PATH = "reports/2026/accounts.jsonl"
NONCES = tuple(digit * 16 for digit in "abc")
FLAT_BYTES = 120_000_000
FLAT_GROWTH_MB = 16
PASSING = (StorageUnavailableError, StorageFullError)


def places(**wanted: bool) -> list[str]:
    """Names of the places that have these traits."""

    def has(traits: Traits) -> bool:
        return all(getattr(traits, name) is value for name, value in wanted.items())

    return [name for name, traits in PLACES.items() if has(traits)]


remote = pytest.mark.parametrize("place", places(is_remote=True), indirect=True)
credentialed = pytest.mark.parametrize("place", places(is_remote=True, checks_credentials=True), indirect=True)
conditional = pytest.mark.parametrize("place", places(is_conditional=True), indirect=True)


@pytest.fixture(params=list(PLACES))
def place(request: pytest.FixtureRequest) -> Place:
    given: Place = request.getfixturevalue(f"{request.param}_place")
    return given


@pytest.fixture
def destination(place: Place) -> Iterator[Destination]:
    opened = place.settings.open()
    yield opened
    opened.close()


def begin(destination: Destination, size: int, *, attempt: int = 0, notes: list[str] | None = None) -> Writing:
    """Size 0 or above: the most that will be written."""
    kept = [] if notes is None else notes
    return destination.begin(PATH, nonce=NONCES[attempt], most_bytes=size, note=kept.append)


def push(destination: Destination, content: bytes, *, attempt: int = 0) -> None:
    writing = begin(destination, len(content), attempt=attempt)
    try:
        for start in range(0, len(content), 300_000):
            writing.write(content[start : start + 300_000])
        writing.publish(writing.state())
    finally:
        writing.abandon()


def whole(size: int, seed: int = 1) -> bytes:
    return b"".join(chunks(size, seed))


# What is written is what is read


@pytest.mark.parametrize("size", [0, 1, 65_537, 8 * 1024 * 1024, None])
def test_object_is_what_was_written(place: Place, destination: Destination, size: int | None) -> None:
    content = whole(place.large_bytes if size is None else size)
    push(destination, content)
    assert place.read(place.prefix + PATH) == content
    assert place.names() == [place.prefix + PATH]
    assert place.unfinished() == []


def test_chunks_may_be_of_any_length(place: Place, destination: Destination) -> None:
    pieces = [b"", b"x", os.urandom(3 * 1024 * 1024), b"", os.urandom(11 * 1024 * 1024), b"y" * 99, os.urandom(2**20)]
    content = b"".join(pieces)
    writing = begin(destination, 10 * len(content))  # a bound, not a length
    for piece in pieces:
        writing.write(piece)
    writing.publish(writing.state())
    assert place.read(place.prefix + PATH) == content


@pytest.mark.parametrize("name", ["a.csv", "deep/er/and/deeper/a.csv", "größe 1 (zwei)+&='#.json", "a%b"])
def test_names_keep_their_characters(place: Place, destination: Destination, name: str) -> None:
    writing = destination.begin(name, nonce=NONCES[0], most_bytes=1, note=lambda _: None)
    writing.write(b"x")
    writing.publish(writing.state())
    assert place.read(place.prefix + name) == b"x"
    assert place.names() == [place.prefix + name]


def test_two_objects_beside_each_other(place: Place, destination: Destination) -> None:
    for name in ("a/b", "a/c"):
        writing = destination.begin(name, nonce=NONCES[0], most_bytes=9, note=lambda _: None)
        writing.write(name.encode())
        writing.publish(writing.state())
    assert sorted(place.names()) == [place.prefix + "a/b", place.prefix + "a/c"]


# Whole or not at all


@pytest.mark.parametrize("is_large", [False, True])
def test_readers_see_the_old_object_until_the_new_one_is_published(
    place: Place, destination: Destination, is_large: bool
) -> None:
    place.put(place.prefix + PATH, b"old")
    content = whole(place.large_bytes if is_large else 1000)
    writing = begin(destination, len(content))
    writing.write(content)
    state = writing.state()
    assert place.read(place.prefix + PATH) == b"old"
    assert place.names() == [place.prefix + PATH]
    writing.publish(state)
    assert place.read(place.prefix + PATH) == content
    assert place.names() == [place.prefix + PATH]
    assert place.unfinished() == []


def test_a_shorter_object_replaces_a_longer_one(place: Place, destination: Destination) -> None:
    push(destination, whole(place.large_bytes))
    push(destination, b"short", attempt=1)
    assert place.read(place.prefix + PATH) == b"short"


@pytest.mark.parametrize("is_large", [False, True])
def test_an_abandoned_object_leaves_nothing(place: Place, destination: Destination, is_large: bool) -> None:
    place.put(place.prefix + PATH, b"old")
    writing = begin(destination, place.large_bytes)
    writing.write(whole(place.large_bytes if is_large else 10))
    writing.abandon()
    writing.abandon()
    assert place.read(place.prefix + PATH) == b"old"
    assert place.names() == [place.prefix + PATH]
    assert place.unfinished() == []


@pytest.mark.parametrize("is_large", [False, True])
def test_abandoning_and_discarding_spare_what_was_published(
    place: Place, destination: Destination, is_large: bool
) -> None:
    notes: list[str] = []
    content = whole(place.large_bytes if is_large else 10)
    writing = begin(destination, len(content), notes=notes)
    writing.write(content)
    writing.publish(writing.state())
    writing.abandon()
    destination.discard(PATH, nonce=NONCES[0], notes=notes)
    assert place.read(place.prefix + PATH) == content
    assert place.unfinished() == []


# Writers that die


def test_a_dropped_writer_is_cleared_away_by_its_notes(place: Place, destination: Destination) -> None:
    place.put(place.prefix + PATH, b"old")
    notes: list[str] = []
    writing = begin(destination, place.large_bytes, notes=notes)
    writing.write(whole(place.large_bytes))
    del writing
    other = place.settings.open()
    other.discard(PATH, nonce=NONCES[0], notes=notes)
    other.discard(PATH, nonce=NONCES[0], notes=notes)
    other.close()
    assert place.read(place.prefix + PATH) == b"old"
    assert place.names() == [place.prefix + PATH]
    assert place.unfinished() == []


@pytest.mark.parametrize("size", [1000, None])
def test_a_killed_writer_is_cleared_away_and_spares_others(
    place: Place, destination: Destination, size: int | None
) -> None:
    place.put(place.prefix + PATH, b"old")
    content = whole(place.large_bytes, seed=2)
    living = begin(destination, len(content), attempt=1)
    living.write(content[: place.large_bytes // 2])
    with Writer(place.settings, PATH, NONCES[0], size or place.large_bytes) as dead:
        assert dead.wait_for("written")
        dead.kill()
        assert place.read(place.prefix + PATH) == b"old"
        destination.discard(PATH, nonce=NONCES[0], notes=dead.notes)
    living.write(content[place.large_bytes // 2 :])
    living.publish(living.state())
    assert place.read(place.prefix + PATH) == content
    assert place.names() == [place.prefix + PATH]
    assert place.unfinished() == []


@pytest.mark.parametrize("number", [1, 2])
def test_a_writer_killed_before_its_note_was_kept_is_cleared_away(
    place: Place, destination: Destination, number: int
) -> None:
    with Writer(place.settings, PATH, NONCES[0], place.large_bytes, die_in_note=number) as dead:
        dead.wait_for("written")
        dead.kill()
    destination.discard(PATH, nonce=NONCES[0], notes=dead.notes)
    assert place.names() == []
    assert place.unfinished() == []


def test_discarding_what_never_was_is_fine(place: Place, destination: Destination) -> None:
    place.put(place.prefix + PATH, b"old")
    destination.discard(PATH, nonce=NONCES[0], notes=[])
    destination.discard("no/such/folder", nonce=NONCES[0], notes=[])
    assert place.names() == [place.prefix + PATH]


# Two writers of one path


@pytest.mark.parametrize("is_large", [False, True])
def test_the_last_to_publish_wins(place: Place, destination: Destination, is_large: bool) -> None:
    size = place.large_bytes if is_large else 1000
    first, second = begin(destination, size), begin(destination, size, attempt=1)
    first.write(whole(size, seed=1))
    second.write(whole(size, seed=2))
    second.publish(second.state())
    first.publish(first.state())
    assert place.read(place.prefix + PATH) == whole(size, seed=1)
    assert place.unfinished() == []


@conditional
@pytest.mark.parametrize("was_there", [False, True])
@pytest.mark.parametrize("is_large", [False, True])
def test_a_writer_with_a_stale_state_publishes_nothing(
    place: Place, destination: Destination, is_large: bool, was_there: bool
) -> None:
    if was_there:
        place.put(place.prefix + PATH, b"old")
    size = place.large_bytes if is_large else 1000
    frozen, newer = begin(destination, size), begin(destination, size, attempt=1)
    frozen.write(whole(size, seed=1))
    stale = frozen.state()
    newer.write(whole(size, seed=2))
    newer.publish(newer.state())
    with pytest.raises(ReplacedMeanwhileError):
        frozen.publish(stale)
    assert place.read(place.prefix + PATH) == whole(size, seed=2)
    frozen.publish(frozen.state())
    assert place.read(place.prefix + PATH) == whole(size, seed=1)
    assert place.unfinished() == []


@conditional
def test_a_writer_whose_old_object_was_deleted_publishes_nothing(place: Place, destination: Destination) -> None:
    place.put(place.prefix + PATH, b"old")
    writing = begin(destination, 10)
    writing.write(b"new")
    stale = writing.state()
    place.delete(place.prefix + PATH)
    with pytest.raises(ReplacedMeanwhileError):
        writing.publish(stale)
    assert place.names() == []
    writing.abandon()
    assert place.unfinished() == []


# Names and addresses


@pytest.mark.parametrize(
    "path", ["", "/", "/etc/passwd", "../a", "a/../../b", "a//b", "a/", ".hidden", "a\\b", "%2e%2e/a", "a\nb", "a/./b"]
)
def test_no_name_leaves_the_prefix(place: Place, destination: Destination, path: str) -> None:
    with pytest.raises(StorageError, match="refused"):
        destination.begin(path, nonce=NONCES[0], most_bytes=1, note=lambda _: None)
    with pytest.raises(StorageError, match="refused"):
        destination.discard(path, nonce=NONCES[0], notes=[])
    assert place.names() == []


@pytest.mark.parametrize("prefix", ["..", "a/../b", "a//b", ".a", "%2e%2e"])
def test_a_prefix_that_leads_elsewhere_is_refused_by_name(place: Place, prefix: str) -> None:
    with pytest.raises(InvalidInputError, match="prefix") as caught:
        place.settings.with_config(prefix=prefix).open()
    assert caught.value.field.endswith("prefix")


def test_a_prefix_is_what_names_begin_with(place: Place) -> None:
    destination = place.settings.with_config(prefix=f"{place.prefix}pre fix-").open()
    push(destination, b"x")
    destination.close()
    assert place.names() == [f"{place.prefix}pre fix-{PATH}"]


@remote
def test_private_addresses_are_refused(place: Place) -> None:
    with pytest.raises(AddressRefusedError):
        _push_and_close(replace(place.settings, allow=""))
    with pytest.raises(AddressRefusedError):
        replace(place.settings, allow="").open().check()
    assert place.names() == []


def _push_and_close(settings: Settings) -> None:
    destination = settings.open()
    try:
        push(destination, b"x")
    finally:
        destination.close()


# What is wrong is said


def test_check_passes_and_leaves_nothing(place: Place, destination: Destination) -> None:
    destination.check()
    assert place.names() == []
    assert place.unfinished() == []


@credentialed
def test_refused_credentials_are_told_without_the_secret(place: Place) -> None:
    settings = place.refused()
    destination = settings.open()
    for call in (destination.check, lambda: push(destination, b"x")):
        with pytest.raises(StorageError) as caught:
            call()
        _is_clear(caught.value, settings)
    destination.close()
    assert place.names() == []


def test_a_missing_bucket_or_folder_is_named(place: Place) -> None:
    settings = place.missing()
    destination = settings.open()
    for call in (destination.check, lambda: push(destination, b"x"), lambda: push(destination, bytes(9_000_000))):
        with pytest.raises((StorageError, StorageUnavailableError), match="missing") as caught:
            call()
        _is_clear(caught.value, settings)
    destination.close()
    assert place.names() == []


def _is_clear(error: HaulageError, settings: Settings) -> None:
    """For a person: it says what to do, without a secret and without what the library called it."""
    assert not any(secret in error.message for secret in settings.secrets.values())
    assert "Traceback" not in error.message
    assert "Error(" not in error.message
    assert "\n" not in error.message
    assert len(error.message) < 500


def test_secrets_are_in_no_description(place: Place, destination: Destination) -> None:
    writing = begin(destination, 10)
    shown = f"{destination!r} {destination.place} {writing!r}"
    writing.abandon()
    assert not any(secret in shown for secret in place.settings.secrets.values())


# Slow and failing servers


@remote
def test_a_server_that_hangs_is_a_passing_fault(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.hurry(monkeypatch)
    with place.trouble() as trouble:
        destination = trouble.settings.open()
        trouble.hang()
        for call in (destination.check, lambda: push(destination, b"x")):
            with pytest.raises(StorageUnavailableError) as caught:
                call()
            _is_clear(caught.value, place.settings)
        trouble.heal()
        destination.close()
    assert place.names() == []


@remote
def test_a_server_that_hangs_half_way_is_a_passing_fault(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.hurry(monkeypatch)
    content = whole(place.large_bytes)
    notes: list[str] = []
    with place.trouble() as trouble:
        destination = trouble.settings.open()
        writing = begin(destination, 2 * len(content), notes=notes)
        writing.write(content)
        trouble.hang()
        with pytest.raises(StorageUnavailableError):
            _finish(writing, content)
        writing.abandon()
        trouble.heal()
        destination.discard(PATH, nonce=NONCES[0], notes=notes)
        destination.close()
    assert place.names() == []
    assert place.unfinished() == []


def _finish(writing: Writing, content: bytes) -> None:
    writing.write(content)
    writing.publish(writing.state())


@remote
def test_a_failing_server_is_a_passing_fault(place: Place) -> None:
    with place.trouble() as trouble:
        destination = trouble.settings.open()
        trouble.fail()
        for call in (destination.check, lambda: push(destination, b"x")):
            with pytest.raises(PASSING) as caught:
                call()
            _is_clear(caught.value, place.settings)
        destination.close()
    assert place.names() == []


@remote
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_part_that_is_refused_leaves_nothing(place: Place, after: int) -> None:
    place.put(place.prefix + PATH, b"old")
    notes: list[str] = []
    with place.trouble() as trouble:
        destination = trouble.settings.open()
        trouble.fail(after)
        with pytest.raises(TransientError):
            _write_all(destination, place.large_bytes, notes)
        trouble.heal()
        destination.discard(PATH, nonce=NONCES[0], notes=notes)
        destination.close()
    assert place.read(place.prefix + PATH) == b"old"
    assert place.names() == [place.prefix + PATH]
    assert place.unfinished() == []


def _write_all(destination: Destination, size: int, notes: list[str]) -> None:
    writing = begin(destination, size, notes=notes)
    try:
        _finish(writing, whole(size))
    finally:
        writing.abandon()


@remote
@pytest.mark.parametrize("after", [0, 1, 2])
def test_one_fault_is_overcome_or_told(place: Place, after: int) -> None:
    content = whole(place.large_bytes)
    with place.trouble() as trouble:
        destination = trouble.settings.open()
        trouble.fail(after, times=1)
        try:
            push(destination, content)
        except TransientError:
            assert place.names() == []
        else:
            assert place.read(place.prefix + PATH) == content
        destination.close()


def test_memory_does_not_grow_with_the_output(place: Place) -> None:
    with Writer(place.settings, PATH, NONCES[0], FLAT_BYTES, publish=True) as writer:
        half = writer.wait_for("half_peak_mb")
        most = writer.wait_for("peak_mb")
    assert most - half < FLAT_GROWTH_MB
    assert len(place.read(place.prefix + PATH) or b"") == FLAT_BYTES
