"""What only Dropbox has: offsets, revisions, permissions, namespaces. Against our fake of its documented API."""

from __future__ import annotations

import json

import pytest

from app.errors import HaulageError, InvalidInputError, StorageError, StorageFullError, StorageUnavailableError
from app.storage.destinations import Destination
from app.storage.destinations.model import ReplacedMeanwhileError, Writing
from tests.fakes.dropbox_server import TOKEN
from tests.fakes.file_host import Answer
from tests.fixtures.destinations.child import chunks
from tests.fixtures.destinations.dropbox import DropboxPlace
from tests.fixtures.destinations.model import Settings

NONCE = "a" * 16
NAME = "some/prefix/a.csv"
PART_BYTES = 8 * 1024 * 1024
LARGE = b"".join(chunks(2 * PART_BYTES + 5))


def begin(settings: Settings) -> Writing:
    return opened(settings).begin("a.csv", nonce=NONCE, most_bytes=1 << 30, note=lambda _: None)


def opened(settings: Settings) -> Destination:
    return settings.open()


def push(settings: Settings, content: bytes) -> None:
    writing = begin(settings)
    writing.write(content)
    writing.publish(writing.state())


def with_token(place: DropboxPlace, token: str = TOKEN) -> Settings:
    kept = {name: place.settings.config[name] for name in ("base_url", "prefix")}
    return Settings("dropbox", kept, {"access_token": token})


def test_parts_are_of_one_length_and_carry_their_hash(dropbox_place: DropboxPlace) -> None:
    push(dropbox_place.settings, LARGE)
    calls = dropbox_place.server.calls("append_v2")
    assert [int(call.headers["content-length"]) for call in calls] == [PART_BYTES, PART_BYTES, 5]
    assert all(json.loads(call.headers["dropbox-api-arg"])["content_hash"] for call in calls)
    assert dropbox_place.read(NAME) == LARGE


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_part_whose_answer_was_lost_is_taken_once(dropbox_place: DropboxPlace, after: int) -> None:
    dropbox_place.server.lose_answer("append_v2", after)
    push(dropbox_place.settings, LARGE)
    assert dropbox_place.read(NAME) == LARGE
    assert len(dropbox_place.server.calls("append_v2")) == 4


def test_a_part_is_sent_at_most_twice(dropbox_place: DropboxPlace) -> None:
    dropbox_place.server.plan("append_v2", *[Answer(503)] * 5)
    with pytest.raises(StorageUnavailableError, match="503"):
        push(dropbox_place.settings, LARGE)
    assert len(dropbox_place.server.calls("append_v2")) == 2


def test_a_session_of_another_length_ends_the_push(dropbox_place: DropboxPlace) -> None:
    writing = begin(dropbox_place.settings)
    [session] = dropbox_place.server.sessions.values()
    session.length = 3  # somebody else wrote to it
    with pytest.raises(StorageUnavailableError, match="length"):
        writing.write(LARGE)


@pytest.mark.parametrize("was_there", [False, True])
def test_a_finish_whose_answer_was_lost_has_published(dropbox_place: DropboxPlace, was_there: bool) -> None:
    if was_there:
        dropbox_place.put(NAME, b"old")
    dropbox_place.server.lose_answer("finish")
    push(dropbox_place.settings, LARGE)
    assert dropbox_place.read(NAME) == LARGE
    assert len(dropbox_place.server.calls("finish")) == 1


def test_a_finish_that_failed_has_not(dropbox_place: DropboxPlace) -> None:
    dropbox_place.put(NAME, b"old")
    dropbox_place.server.plan("finish", Answer(500))
    with pytest.raises(StorageUnavailableError):
        push(dropbox_place.settings, b"new")
    assert dropbox_place.read(NAME) == b"old"


def test_the_same_content_is_no_reason_to_pass_over_a_conflict(dropbox_place: DropboxPlace) -> None:
    writing = begin(dropbox_place.settings)
    writing.write(b"same")
    stale = writing.state()
    dropbox_place.put(NAME, b"same")
    with pytest.raises(ReplacedMeanwhileError):
        writing.publish(stale)


def test_bytes_are_sent_before_publishing_if_asked_to(dropbox_place: DropboxPlace) -> None:
    writing = begin(dropbox_place.settings)
    writing.write(b"x" * 9)
    assert list(writing.finish()) == [9]
    [session] = dropbox_place.server.sessions.values()
    assert session.length == 9
    writing.publish(writing.state())
    assert dropbox_place.read(NAME) == b"x" * 9


def test_an_access_token_is_renewed_half_way(dropbox_place: DropboxPlace) -> None:
    writing = begin(dropbox_place.settings)
    dropbox_place.server.is_expired = True
    writing.write(LARGE)
    dropbox_place.server.is_expired = True
    writing.publish(writing.state())
    assert dropbox_place.read(NAME) == LARGE


def test_an_access_token_alone_is_enough_until_it_expires(dropbox_place: DropboxPlace) -> None:
    opened(with_token(dropbox_place)).check()
    dropbox_place.server.is_expired = True
    with pytest.raises(StorageError, match="the access_token has expired"):
        opened(with_token(dropbox_place)).check()


@pytest.mark.parametrize("token", ["wrong-token", "wrong\ntoken", "wröng"])
def test_a_refused_token_is_not_shown(dropbox_place: DropboxPlace, token: str) -> None:
    with pytest.raises(HaulageError) as caught:
        opened(with_token(dropbox_place, token)).check()
    assert "wr" not in caught.value.message


def test_a_text_that_repeats_the_token_is_not_shown(dropbox_place: DropboxPlace) -> None:
    for status in (400, 403, 500):
        dropbox_place.server.plan("start", Answer(status, f'Invalid value: "Bearer {TOKEN}"'.encode()))
        with pytest.raises(HaulageError) as caught:
            opened(with_token(dropbox_place)).check()
        assert TOKEN not in caught.value.message


def test_a_wrong_app_secret_is_told(dropbox_place: DropboxPlace) -> None:
    with pytest.raises(StorageError, match="app_secret"):
        opened(dropbox_place.settings.with_secrets(app_secret="other")).check()


@pytest.mark.parametrize("scope", ["files.content.write", "files.metadata.read"])
def test_a_missing_permission_is_named(dropbox_place: DropboxPlace, scope: str) -> None:
    dropbox_place.server.scopes.discard(scope)
    with pytest.raises(StorageError, match=f"permission {scope}"):
        push(dropbox_place.settings, b"x")


def test_who_may_not_read_may_push(dropbox_place: DropboxPlace) -> None:
    dropbox_place.server.scopes.discard("files.content.read")
    opened(dropbox_place.settings).check()
    assert dropbox_place.names() == []


def test_calls_that_are_too_many_wait_as_long_as_is_said(dropbox_place: DropboxPlace) -> None:
    error = {"reason": {".tag": "too_many_requests"}, "retry_after": 17}
    dropbox_place.server.plan("start", Answer.of({"error_summary": "", "error": error}, 429))
    with pytest.raises(StorageUnavailableError, match="fewer calls") as caught:
        push(dropbox_place.settings, b"x")
    assert caught.value.retry_after_s == 17
    assert len(dropbox_place.server.calls("start")) == 1


def test_no_room_is_told(dropbox_place: DropboxPlace) -> None:
    dropbox_place.server.room = 3
    with pytest.raises(StorageFullError, match="no room"):
        push(dropbox_place.settings, b"four")


def test_a_folder_in_the_way_is_told(dropbox_place: DropboxPlace) -> None:
    dropbox_place.put(f"{NAME}/b", b"")
    with pytest.raises(StorageError, match="a folder"):
        push(dropbox_place.settings, b"x")


def test_a_file_in_the_way_of_a_folder_is_told(dropbox_place: DropboxPlace) -> None:
    dropbox_place.put("some/prefix", b"")
    with pytest.raises(StorageError, match="one of the folders of the path is a file"):
        push(dropbox_place.settings, b"x")


def test_namespace_and_member_are_said_in_each_call(dropbox_place: DropboxPlace) -> None:
    push(dropbox_place.settings.with_config(namespace_id="77", team_member_id="dbmid:one"), b"x")
    for call in dropbox_place.server.calls("/files/"):
        assert json.loads(call.headers["dropbox-api-path-root"]) == {".tag": "namespace_id", "namespace_id": "77"}
        assert call.headers["dropbox-api-select-user"] == "dbmid:one"
    with pytest.raises(StorageError, match="team_member_id"):
        push(dropbox_place.settings.with_config(team_member_id="dbmid:two"), b"x")


def test_an_answer_that_is_none_of_dropbox_is_a_passing_fault(dropbox_place: DropboxPlace) -> None:
    dropbox_place.server.plan("start", Answer(200, b"<html>Sign in to this network</html>"))
    with pytest.raises(StorageUnavailableError, match="none that Dropbox documents"):
        push(dropbox_place.settings, b"x")


@pytest.mark.parametrize(
    ("config", "secrets", "field"),
    [
        ({}, {}, "/configuration/refresh_token"),
        ({}, {"refresh_token": "r"}, "/configuration/app_key"),
        ({"prefix": "../a"}, {"access_token": "t"}, "/configuration/prefix"),
    ],
)
def test_settings_that_do_not_do_are_named(config: dict[str, str], secrets: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Settings("dropbox", config, secrets).open()
    assert caught.value.field == field
