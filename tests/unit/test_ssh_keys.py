"""What users give as host_key and private_key, and that no name leaves the prefix."""

from __future__ import annotations

import posixpath
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.addresses import AddressPolicy
from app.errors import AddressRefusedError, InvalidInputError, StorageError
from app.storage.destinations import Given, open_destination
from app.storage.destinations.sftp import SftpDestination
from app.storage.destinations.ssh_keys import HostPin, read_private_key
from app.storage.destinations.ssh_line import _BoundedSocket
from tests.fixtures.openssh import make_key

# Made for this test by ssh-keygen; the fingerprint is what `ssh-keygen -lf` printed for it.
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJU3LNF+popyqf5minDLl63L3OVr2KxxOzcAhgZXqzhN"
PRINT = "SHA256:M+TCRqJCHj/uKnhHfAEU13VudtusY5k0JuNF2E8jyrY"
CONFIG = {"host": "files.example.org", "username": "u", "host_key": PUBLIC}


def opened(secrets: dict[str, str] | None = None, **config: str) -> SftpDestination:
    given_ = Given({**CONFIG, **config}, {"password": "secret"} if secrets is None else secrets, AddressPolicy())
    destination = open_destination("sftp", given_)
    assert isinstance(destination, SftpDestination)
    return destination


@pytest.mark.parametrize(
    "text",
    [
        PUBLIC,
        f"{PUBLIC} root@files",
        f"files.example.org {PUBLIC}",
        f"[files.example.org]:2222,10.0.0.1 {PUBLIC}",
        f"|1|c2FsdA==|aGFzaA== {PUBLIC}",
        f"# files.example.org:22 SSH-2.0-OpenSSH_9.2\nfiles.example.org {PUBLIC}\n\n",
        PRINT,
        f"{PRINT}=",
        f"256 {PRINT} root@files (ED25519)",
    ],
)
def test_a_host_key_is_taken_in_every_usual_form(text: str) -> None:
    assert HostPin.parse(text).fingerprints == {PRINT}


def test_only_the_pinned_types_are_asked_for() -> None:
    rsa = make_key("rsa")[1]
    assert HostPin.parse(PUBLIC).algorithms == ("ssh-ed25519",)
    assert HostPin.parse(f"{rsa}\n{PUBLIC}").algorithms == ("ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256")
    assert HostPin.parse(PRINT).algorithms[0] == "ssh-ed25519"
    assert len(HostPin.parse(PRINT).algorithms) == 6


@pytest.mark.parametrize(
    "text",
    ["", "\n", "any", "SHA256:short", PUBLIC[:-8], "ssh-ed25519", "ssh-ed25519 !!", "ssh-rsa " + PUBLIC.split()[1],
     "ssh-dss AAAAB3NzaC1kc3MAAACBAP", "MD5:d4:1d:8c:d9:8f:00:b2:04:e9:80:09:98:ec:f8:42:7e"],
)  # fmt: skip
def test_what_is_no_host_key_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"host_key.*ssh-keyscan") as caught:
        opened(host_key=text)
    assert caught.value.field == "/configuration/host_key"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("passphrase", ["", "open sesame"])
def test_private_keys_of_every_kind_are_read(kind: str, passphrase: str) -> None:
    private, public = make_key(kind, passphrase)
    key = read_private_key(private, passphrase)
    assert public.split()[1] == key.get_base64()


@pytest.mark.parametrize(
    ("text", "passphrase", "field", "problem"),
    [
        ("encrypted", "", "private_key_passphrase", "is encrypted"),
        ("encrypted", "wrong", "private_key", "cannot be read"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            "",
            "private_key",
            "damaged",
        ),
        ("ssh-ed25519 AAAA", "", "private_key", "is no private key"),
    ],
)
def test_a_key_that_cannot_be_used_is_told_and_not_shown(text: str, passphrase: str, field: str, problem: str) -> None:
    given_text = make_key("ed25519", "right")[0] if text == "encrypted" else text
    with pytest.raises(InvalidInputError, match=problem) as caught:
        opened({"private_key": given_text, "private_key_passphrase": passphrase})
    assert caught.value.field == f"/configuration/{field}"
    assert "AAAA" not in caught.value.message


@pytest.mark.parametrize(
    ("config", "secrets", "field"),
    [
        ({"port": "0"}, None, "port"),
        ({"port": "70000"}, None, "port"),
        ({"port": "ssh"}, None, "port"),
        ({"username": ""}, None, "username"),
        ({"username": "a\nb"}, None, "username"),
        ({"prefix": "../x/"}, None, "prefix"),
        ({"prefix": "//x/"}, None, "prefix"),
        ({}, {}, "password"),
    ],
)
def test_a_wrong_setting_is_named(config: dict[str, str], secrets: dict[str, str] | None, field: str) -> None:
    with pytest.raises(InvalidInputError, match=field) as caught:
        opened(secrets, **config)
    assert caught.value.field == f"/configuration/{field}"


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost", "[::1]", "a b", "user@example.org"])
def test_hosts_pass_the_address_check(host: str) -> None:
    with pytest.raises(AddressRefusedError):
        opened(host=host)


def test_no_secret_is_in_a_description() -> None:
    assert "secret" not in repr(opened()._server)


_NAMES = st.text(st.sampled_from("ab./\\%2e~\0 \n"), max_size=12)


@settings(max_examples=500, deadline=None)
@given(prefix=_NAMES, path=_NAMES)
def test_no_name_leaves_the_prefix(prefix: str, path: str) -> None:
    try:
        target = opened(prefix=prefix)._target(path)
    except (InvalidInputError, StorageError):
        return
    assert target == prefix + path
    assert posixpath.normpath(target) == target
    assert ".." not in target.split("/")


def test_a_peer_that_takes_nothing_is_given_up() -> None:
    near, far = socket.socketpair()
    near.settimeout(0.02)
    bounded = _BoundedSocket(near, 0.2)
    began = time.monotonic()
    with far, pytest.raises(ConnectionError, match="takes nothing"):
        _send_until_it_fails(bounded)
    assert time.monotonic() - began >= 0.2
    bounded.close()


def _send_until_it_fails(line: _BoundedSocket) -> None:
    while True:
        try:
            line.send(bytes(65536))
        except TimeoutError:
            continue  # as paramiko does
