"""What is particular to SFTP, against OpenSSH's server; what all destinations do is in test_destinations.py."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.errors import StorageError, StorageFullError, StorageUnavailableError
from app.storage.destinations import Destination
from app.storage.destinations.model import Writing
from app.storage.destinations.sftp_client import Client, StatusError
from app.storage.destinations.ssh_keys import HostPin
from tests.fakes.ssh_server import ssh_server
from tests.fixtures.destinations.model import Settings
from tests.fixtures.destinations.sftp import SftpPlace
from tests.fixtures.openssh import OpenSsh, make_key

PATH = "reports/a.jsonl"
NONCE = "a" * 16
MakeServer = Callable[..., SftpPlace]


@pytest.fixture
def make_server() -> Iterator[MakeServer]:
    """Starts a server with options of internal-sftp and lines of sshd_config of its own."""
    servers = []

    def make(most_file_bytes: int = resource.RLIM_INFINITY, **wishes: Any) -> SftpPlace:
        server = OpenSsh(**wishes)
        servers.append(server)
        server.start(most_file_bytes=most_file_bytes)
        return SftpPlace(server)

    yield make
    for server in servers:
        server.stop()


def begin(destination: Destination, nonce: str = NONCE) -> Writing:
    return destination.begin(PATH, nonce=nonce, most_bytes=1, note=lambda _: None)


def push(destination: Destination, content: bytes, nonce: str = NONCE) -> None:
    writing = begin(destination, nonce)
    writing.write(content)
    writing.publish(writing.state())


def fails(settings: Settings, pattern: str, kind: type[Exception] = StorageError) -> str:
    with pytest.raises(kind, match=pattern) as caught:
        settings.open().check()
    return str(caught.value)


# Who the server is, and who the user


def test_another_host_key_ends_the_connection_before_anything_is_told(sftp_place: SftpPlace) -> None:
    other = make_key("ed25519")[1]
    message = fails(sftp_place.settings.with_config(host_key=other), "the host key of .* is another one")
    known = sftp_place.settings.with_config(host_key=message.partition("it shows ssh-ed25519 ")[2].partition(".")[0])
    known.open().check()  # what the message names is what could be pinned


def test_a_fake_server_never_learns_the_password() -> None:
    with ssh_server() as (port, _, door):
        fails(settings_of(port, make_key("ed25519")[1], password="open sesame"), "another one")
    assert door.tried == []


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("by_fingerprint", [False, True])
def test_any_of_a_servers_keys_may_be_pinned(make_server: MakeServer, kind: str, by_fingerprint: bool) -> None:
    place = make_server(key_types=("ed25519", "ecdsa", "rsa"))
    line = place.server.host_keys[kind]
    pinned = next(iter(HostPin.parse(line).fingerprints)) if by_fingerprint else line
    place.settings.with_config(host_key=pinned).open().check()


def test_a_type_of_key_that_the_server_has_not_is_told(sftp_place: SftpPlace) -> None:
    fails(sftp_place.settings.with_config(host_key=make_key("rsa")[1]), "no common algorithm.*host_key")


def test_a_refused_key_is_told(sftp_place: SftpPlace) -> None:
    fails(sftp_place.settings.with_secrets(private_key=make_key("rsa")[0]), "refuses the private_key.*public half")


def settings_of(port: int, host_key: str, **secrets: str) -> Settings:
    config = {"host": "127.0.0.1", "port": str(port), "username": "u", "host_key": host_key}
    return Settings("sftp", config, secrets)


@pytest.mark.parametrize("way", ["password", "keyboard-interactive"])
def test_a_password_opens_and_a_wrong_one_is_told(way: str) -> None:
    with ssh_server(way) as (port, host_key, _):
        fails(settings_of(port, host_key, password="wrong one"), "does not let the user 'u' in: it .*password")
        fails(settings_of(port, host_key, password="open sesame"), "cannot look at|cannot write")  # it has no files


def test_a_server_that_wants_key_and_password_gets_both() -> None:
    private, public = make_key("ed25519")
    with ssh_server(first_key=public) as (port, host_key, _):
        fails(settings_of(port, host_key, private_key=private), "does not let the user 'u' in.*asks for password")
        fails(settings_of(port, host_key, private_key=private, password="open sesame"), "cannot look at|cannot write")


def test_a_user_without_sftp_is_told(make_server: MakeServer) -> None:
    fails(make_server(more="ForceCommand /bin/false").settings, "gives the user .* no sftp")


def test_what_is_no_ssh_server_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_greet_wrongly, args=(listener,), daemon=True).start()
        settings = settings_of(listener.getsockname()[1], make_key("ed25519")[1], password="x")
        fails(settings, "127.0.0.1:.*banner", StorageUnavailableError)


def _greet_wrongly(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    connection.close()


def test_a_name_without_address_is_told(sftp_place: SftpPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_args: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    settings = sftp_place.settings.with_config(host="no.such.example.org", port="22")
    fails(settings, "no.such.example.org has no address")


# What the user may do


def test_a_user_who_may_only_read_is_told(make_server: MakeServer) -> None:
    fails(make_server(options="-R").settings, "may not (make the folder|write) some")


def test_a_prefix_from_the_root_and_one_from_the_users_folder(sftp_place: SftpPlace) -> None:
    push(sftp_place.settings.with_config(prefix=f"{sftp_place.folder}/absolute/").open(), b"a")
    push(sftp_place.settings.with_config(prefix="relative/").open(), b"b")
    push(sftp_place.settings.with_config(prefix="").open(), b"c")
    assert sftp_place.names() == [f"absolute/{PATH}", f"relative/{PATH}", PATH]


def test_a_folder_in_the_place_of_the_object_is_told(sftp_place: SftpPlace) -> None:
    sftp_place.put(f"{sftp_place.prefix}{PATH}/file", b"")
    with pytest.raises(StorageError, match="is a folder; choose another path"):
        push(sftp_place.settings.open(), b"x")


def test_a_file_in_the_place_of_a_folder_is_told(sftp_place: SftpPlace) -> None:
    sftp_place.put(f"{sftp_place.prefix}reports", b"")
    with pytest.raises(StorageError, match=r"reports .* is no folder"):
        push(sftp_place.settings.open(), b"x")


# Nothing is lost on the way


@pytest.mark.parametrize("missing_bytes", [1, 40_000, 3_000_000])
def test_a_write_that_the_server_refuses_last_is_not_missed(make_server: MakeServer, missing_bytes: int) -> None:
    """Most answers come after the last write was sent: a full disk must not be taken for a whole file."""
    size = 5_000_000
    place = make_server(most_file_bytes=size - missing_bytes)
    place.put(place.prefix + PATH, b"old")
    writing = begin(place.settings.open())
    with pytest.raises(StorageUnavailableError, match="quota is full"):
        _write_and_publish(writing, bytes(size))
    writing.abandon()
    assert place.read(place.prefix + PATH) == b"old"
    assert place.unfinished() == []


def _write_and_publish(writing: Writing, content: bytes) -> None:
    writing.write(content)
    writing.publish(None)


def test_a_look_at_the_state_between_writes_loses_nothing(sftp_place: SftpPlace) -> None:
    writing = begin(sftp_place.settings.open())
    content = bytes(range(256)) * 10_000
    for start in range(0, len(content), 700_000):
        writing.write(content[start : start + 700_000])
        assert writing.state() is None
    writing.publish(None)
    assert sftp_place.read(sftp_place.prefix + PATH) == content


def test_the_server_syncs_the_whole_file_before_it_gets_its_name(
    sftp_place: SftpPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = Client._async_request

    def watched(self: Client, owner: Any, kind: int, *args: Any) -> Any:
        asked.append({6: "write", 200: str(args[0])}.get(kind, ""))
        return real(self, owner, kind, *args)

    monkeypatch.setattr(Client, "_async_request", watched)
    push(sftp_place.settings.open(), bytes(100_000))
    told = [each for each in asked if each]
    assert told == ["write"] * 4 + ["fsync@openssh.com", "posix-rename@openssh.com"]


def test_a_writer_whose_file_was_discarded_publishes_nothing(sftp_place: SftpPlace) -> None:
    destination = sftp_place.settings.open()
    frozen = begin(destination)
    frozen.write(b"x" * 100_000)
    destination.discard(PATH, nonce=NONCE, notes=[])
    with pytest.raises(StorageUnavailableError, match="removed meanwhile"):
        frozen.publish(frozen.state())
    frozen.abandon()
    assert sftp_place.names() == []


@pytest.mark.parametrize(
    ("code", "kind"), [(14, StorageFullError), (15, StorageFullError), (4, StorageUnavailableError)]
)
def test_what_servers_say_when_they_are_full(
    sftp_place: SftpPlace, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    writing = begin(sftp_place.settings.open())

    def refuse(*_args: object) -> None:
        raise StatusError(code, "no room\nat all")

    monkeypatch.setattr(Client, "_convert_status", refuse)
    with pytest.raises(kind, match="no room at all"):
        _write_and_publish(writing, b"x")
    monkeypatch.undo()
    writing.abandon()


# Servers that cannot replace a file in one step


@pytest.fixture
def old_place(make_server: MakeServer) -> SftpPlace:
    return make_server(options="-P posix-rename,fsync")


def test_servers_without_the_extensions_take_new_and_old_objects(old_place: SftpPlace) -> None:
    destination = old_place.settings.open()
    destination.check()
    push(destination, b"first")
    push(destination, b"second one", nonce="b" * 16)
    assert old_place.read(old_place.prefix + PATH) == b"second one"
    assert old_place.unfinished() == []


@pytest.mark.parametrize("kept_steps", [1, 2])
def test_an_object_that_was_moved_aside_comes_back(
    old_place: SftpPlace, monkeypatch: pytest.MonkeyPatch, kept_steps: int
) -> None:
    """The connection breaks behind the first or the second of the two renames."""
    old_place.put(old_place.prefix + PATH, b"old")
    destination = old_place.settings.open()
    writing = begin(destination)
    writing.write(b"new one")
    state = writing.state()
    real, left = Client.rename, [kept_steps]

    def rename(self: Client, source: str, target: str) -> None:
        real(self, source, target)
        left[0] -= 1
        if left[0] == 0:
            raise EOFError

    monkeypatch.setattr(Client, "rename", rename)
    with pytest.raises(StorageUnavailableError):
        writing.publish(state)
    monkeypatch.undo()
    writing.abandon()
    assert old_place.read(old_place.prefix + PATH) == {1: b"old", 2: b"new one"}[kept_steps]
    assert old_place.unfinished() == []
