"""What only Box has: exact lengths, parts, versions, folders by id. Against our fake of its documented API."""

from __future__ import annotations

import errno
import tempfile

import pytest

from app.errors import HaulageError, InvalidInputError, StorageError, StorageFullError, StorageUnavailableError
from app.storage.destinations.box import SESSION_BYTES
from app.storage.destinations.model import ReplacedMeanwhileError, Writing
from tests.fakes.box_server import ROOT, TOKEN, USER_ID
from tests.fakes.file_host import Answer
from tests.fixtures.destinations.box import BoxPlace
from tests.fixtures.destinations.child import chunks
from tests.fixtures.destinations.model import Settings

NONCE = "a" * 16
NAME = "some/prefix/a.csv"
LARGE = b"".join(chunks(SESSION_BYTES + 5))


def begin(settings: Settings, notes: list[str] | None = None) -> Writing:
    kept = [] if notes is None else notes
    return settings.open().begin("a.csv", nonce=NONCE, most_bytes=1 << 30, note=kept.append)


def push(settings: Settings, content: bytes) -> None:
    writing = begin(settings)
    writing.write(content)
    try:
        writing.publish(writing.state())
    finally:
        writing.abandon()


def with_token(place: BoxPlace, token: str = TOKEN) -> Settings:
    kept = {name: place.settings.config[name] for name in ("base_url", "folder_id", "prefix")}
    return Settings("box", kept, {"access_token": token})


@pytest.mark.parametrize("was_there", [False, True])
@pytest.mark.parametrize(("size", "sessions"), [(SESSION_BYTES - 1, 0), (SESSION_BYTES, 1)])
def test_files_go_by_sessions_from_20_mb(box_place: BoxPlace, was_there: bool, size: int, sessions: int) -> None:
    if was_there:
        box_place.put(NAME, b"old")
    push(box_place.settings, LARGE[:size])
    assert box_place.read(NAME) == LARGE[:size]
    assert len(box_place.server.calls("/commit")) == sessions


def test_a_file_keeps_its_id_and_becomes_a_version(box_place: BoxPlace) -> None:
    push(box_place.settings, b"one")
    before = box_place.server.find(NAME)
    assert before
    for content in (b"two", LARGE):
        push(box_place.settings, content)
    after = box_place.server.find(NAME)
    assert after
    assert (after.id, after.etag) == (before.id, 2)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_part_whose_answer_was_lost_is_not_sent_again(box_place: BoxPlace, after: int) -> None:
    writing = begin(box_place.settings)
    writing.write(LARGE)
    box_place.server.lose_answer("/upload_sessions/F", after)
    writing.publish(writing.state())
    assert box_place.read(NAME) == LARGE
    assert len([call for call in box_place.server.asked if call.method == "PUT"]) == 3


def test_a_part_that_did_not_arrive_is_sent_twice_at_most(box_place: BoxPlace) -> None:
    writing = begin(box_place.settings)
    writing.write(LARGE)
    box_place.server.plan("/upload_sessions/F", Answer(500))
    assert sum(writing.finish()) == len(LARGE)
    assert len([call for call in box_place.server.asked if call.method == "PUT"]) == 4
    writing.publish(writing.state())
    assert box_place.read(NAME) == LARGE


def test_parts_that_could_not_be_sent_are_sent_by_a_later_publishing(box_place: BoxPlace) -> None:
    writing = begin(box_place.settings)
    writing.write(LARGE)
    box_place.server.plan("/upload_sessions/F", Answer(500), Answer(500))
    with pytest.raises(StorageUnavailableError):
        assert sum(writing.finish()) == len(LARGE)
    writing.publish(writing.state())
    assert box_place.read(NAME) == LARGE
    assert box_place.unfinished() == []


def test_a_name_that_box_is_busy_with_is_a_passing_fault(box_place: BoxPlace) -> None:
    busy = Answer.of({"type": "error", "status": 409, "code": "operation_blocked_temporary"}, 409)
    for call in ("/folders", "/files/content"):
        box_place.server.plan(call, busy)
        with pytest.raises(StorageUnavailableError, match="just now"):
            push(box_place.settings, b"x")


def test_a_commit_that_box_still_works_on_is_asked_for_again(box_place: BoxPlace) -> None:
    box_place.server.unready_commits = 3
    push(box_place.settings, LARGE)
    assert box_place.read(NAME) == LARGE
    assert len(box_place.server.calls("/commit")) == 4


@pytest.mark.parametrize("was_there", [False, True])
@pytest.mark.parametrize(("content", "call"), [(b"small", "/content"), (LARGE, "/commit")])
def test_a_publishing_whose_answer_was_lost_is_done(
    box_place: BoxPlace, was_there: bool, content: bytes, call: str
) -> None:
    if was_there:
        box_place.put(NAME, b"old")
    writing = begin(box_place.settings)
    writing.write(content)
    state = writing.state()
    box_place.server.lose_answer(call)
    writing.publish(state)
    assert box_place.read(NAME) == content
    assert box_place.unfinished() == []


def test_the_same_content_by_somebody_else_leaves_no_session(box_place: BoxPlace) -> None:
    writing = begin(box_place.settings)
    writing.write(LARGE)
    sum(writing.finish())
    box_place.put(NAME, LARGE)
    box_place.server.plan("/commit", Answer(500))
    writing.publish(None)
    assert box_place.read(NAME) == LARGE
    assert box_place.unfinished() == []


def test_a_publishing_that_failed_is_not(box_place: BoxPlace) -> None:
    box_place.put(NAME, b"old")
    box_place.server.plan("/commit", Answer(500))
    with pytest.raises(StorageUnavailableError):
        push(box_place.settings, LARGE)
    assert box_place.read(NAME) == b"old"
    assert box_place.unfinished() == []


def test_parts_are_sent_before_publishing_if_asked_to(box_place: BoxPlace) -> None:
    notes: list[str] = []
    writing = begin(box_place.settings, notes)
    writing.write(LARGE)
    lengths = []
    for length in writing.finish():  # its note was kept before the first part left
        assert len(notes) == 1
        lengths.append(length)
    assert lengths == [8 * 1024 * 1024, 8 * 1024 * 1024, len(LARGE) - 16 * 1024 * 1024]
    sent = len(box_place.server.asked)
    assert box_place.names() == []
    writing.publish(None)
    assert [call.path[-7:] for call in box_place.server.asked[sent:]] == ["/commit"]
    assert box_place.read(NAME) == LARGE


def test_what_finishing_left_is_sent_by_publishing(box_place: BoxPlace) -> None:
    writing = begin(box_place.settings)
    writing.write(LARGE)
    next(iter(writing.finish()))
    writing.publish(writing.state())
    assert box_place.read(NAME) == LARGE
    assert box_place.unfinished() == []


@pytest.mark.parametrize("was_there", [False, True])
def test_a_newer_object_makes_prepared_parts_useless_or_waits_for_them(box_place: BoxPlace, was_there: bool) -> None:
    if was_there:
        box_place.put(NAME, b"old")
    writing = begin(box_place.settings)
    writing.write(LARGE)
    assert sum(writing.finish()) == len(LARGE)
    stale = writing.state()
    box_place.put(NAME, b"newer")
    with pytest.raises(ReplacedMeanwhileError):
        writing.publish(stale)
    assert box_place.read(NAME) == b"newer"
    writing.publish(writing.state())
    assert box_place.read(NAME) == LARGE
    assert box_place.unfinished() == []


def test_a_session_that_box_forgot_is_begun_anew(box_place: BoxPlace) -> None:
    writing = begin(box_place.settings)
    writing.write(LARGE)
    assert sum(writing.finish()) == len(LARGE)
    box_place.server.sessions.clear()
    with pytest.raises(ReplacedMeanwhileError):
        writing.publish(writing.state())
    writing.publish(writing.state())
    assert box_place.read(NAME) == LARGE


def test_the_session_of_a_dead_writer_is_aborted_by_its_note(box_place: BoxPlace) -> None:
    notes: list[str] = []
    dead, living = begin(box_place.settings, notes), begin(box_place.settings)
    for writing in (dead, living):
        writing.write(LARGE)
        sum(writing.finish())
    destination = box_place.settings.open()
    destination.discard("a.csv", nonce=NONCE, notes=notes)
    destination.discard("a.csv", nonce=NONCE, notes=notes)
    assert len(box_place.unfinished()) == 1
    living.publish(living.state())
    assert box_place.read(NAME) == LARGE
    with pytest.raises(ReplacedMeanwhileError):
        dead.publish(None)
    assert box_place.unfinished() == []


def test_the_token_goes_to_box_only(box_place: BoxPlace) -> None:
    box_place.server.host = "https://box.com.example.org"
    notes: list[str] = []
    writing = begin(box_place.settings, notes)
    writing.write(LARGE)
    with pytest.raises(StorageError, match=r"outside box\.com"):
        writing.publish(writing.state())
    assert notes == []
    assert not any(call.method == "PUT" for call in box_place.server.asked)
    asked = len(box_place.server.asked)
    for note in ("https://box.com.example.org/1", "http://upload.box.com/1", "1"):
        with pytest.raises(StorageError, match=r"outside box\.com"):
            box_place.settings.open().discard("a.csv", nonce=NONCE, notes=[note])
    assert len(box_place.server.asked) == asked


def test_parts_too_large_for_memory_are_refused(box_place: BoxPlace) -> None:
    box_place.server.part_bytes = 1 << 30
    with pytest.raises(StorageError, match="parts of 1073741824 bytes"):
        push(box_place.settings, LARGE)
    assert box_place.unfinished() == []


def test_a_token_is_renewed_half_way(box_place: BoxPlace) -> None:
    writing = begin(box_place.settings)
    writing.write(LARGE)
    box_place.server.good_tokens.clear()
    writing.publish(writing.state())
    assert box_place.read(NAME) == LARGE
    assert box_place.server.token_count == 2


def test_an_app_may_act_for_a_user(box_place: BoxPlace) -> None:
    config = {name: value for name, value in box_place.settings.config.items() if name != "enterprise_id"}
    secrets = box_place.settings.secrets
    Settings("box", {**config, "user_id": USER_ID}, secrets).open().check()
    with pytest.raises(StorageError, match="enterprise_id or user_id"):
        Settings("box", {**config, "user_id": "1"}, secrets).open().check()


def test_an_access_token_alone_is_enough_until_it_expires(box_place: BoxPlace) -> None:
    with_token(box_place).open().check()
    box_place.server.good_tokens.clear()
    with pytest.raises(StorageError, match="refuses the credentials"):
        with_token(box_place).open().check()


@pytest.mark.parametrize("token", ["wrong-token", "wrong\ntoken", "wröng"])
def test_a_refused_token_is_not_shown(box_place: BoxPlace, token: str) -> None:
    with pytest.raises(HaulageError) as caught:
        with_token(box_place, token).open().check()
    assert "wr" not in caught.value.message.replace("write", "")


def test_a_folder_that_may_only_be_read_is_told(box_place: BoxPlace) -> None:
    box_place.server.is_read_only = True
    with pytest.raises(StorageError, match="as an editor"):
        box_place.settings.open().check()


def test_no_room_is_told(box_place: BoxPlace) -> None:
    box_place.server.room = 3
    for content in (b"four", LARGE):
        with pytest.raises(StorageFullError, match="no room"):
            push(box_place.settings, content)
    assert box_place.names() == []


def test_no_room_for_the_temporary_file_is_told(box_place: BoxPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    writing = begin(box_place.settings)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "write", full)
    with pytest.raises(StorageFullError, match="TMPDIR"):
        writing.write(b"x")


def test_calls_that_are_too_many_wait_as_long_as_is_said(box_place: BoxPlace) -> None:
    box_place.server.plan("/folders", Answer(429, b"", {"Retry-After": "17"}))
    with pytest.raises(StorageUnavailableError, match="fewer calls") as caught:
        push(box_place.settings, b"x")
    assert caught.value.retry_after_s == 17
    assert len(box_place.server.calls("/folders")) == 1


def test_a_folder_in_the_way_is_told(box_place: BoxPlace) -> None:
    box_place.put(f"{NAME}/b", b"")
    with pytest.raises(StorageError, match="is a folder"):
        push(box_place.settings, b"x")


def test_a_file_in_the_way_of_a_folder_is_told(box_place: BoxPlace) -> None:
    box_place.put("some/prefix", b"")
    with pytest.raises(StorageError, match="'prefix' is a file"):
        push(box_place.settings, b"x")


def test_folders_are_made_once(box_place: BoxPlace) -> None:
    for content in (b"x", b"y"):
        push(box_place.settings, content)
    assert sorted(folder.name for folder in box_place.server.folders.values()) == ["prefix", "shared", "some"]


def test_an_answer_that_is_none_of_box_is_a_passing_fault(box_place: BoxPlace) -> None:
    box_place.server.plan("/folders", Answer(200, b"<html>Sign in to this network</html>"))
    with pytest.raises(StorageUnavailableError, match="none that Box documents"):
        push(box_place.settings, b"x")


@pytest.mark.parametrize(
    ("config", "secrets", "field"),
    [
        ({}, {}, "/configuration/client_secret"),
        ({"enterprise_id": "1"}, {"client_secret": "s"}, "/configuration/client_id"),
        ({"client_id": "c"}, {"client_secret": "s"}, "/configuration/enterprise_id"),
        ({"prefix": "../a"}, {"access_token": "t"}, "/configuration/prefix"),
    ],
)
def test_settings_that_do_not_do_are_named(config: dict[str, str], secrets: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Settings("box", {"folder_id": ROOT, **config}, secrets).open()
    assert caught.value.field == field
