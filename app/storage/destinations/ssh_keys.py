"""Keys that a user gives: the server's, which it must prove to be, and the user's own."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from dataclasses import dataclass
from typing import Any

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from app.errors import InvalidInputError

_ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""Type of a key -> the algorithms that sign with it (RFC 8332 for RSA)."""

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}(?==?$)")
_ACCEPTED = (
    "the server's public key, for example a line of `ssh-keyscan HOST` (ssh-ed25519 AAAA...), or its fingerprint "
    "(SHA256:...), one a line"
)


@dataclass(frozen=True)
class HostPin:
    """What the server may show: fingerprints as OpenSSH writes them, and the types of key that are asked for."""

    fingerprints: frozenset[str]
    types: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> HostPin:
        """Lines of `ssh-keyscan`, known_hosts, a `.pub` file or fingerprints. Raises InvalidInputError."""
        found = [_read_line(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if not found:
            raise InvalidInputError(f"host_key is missing. Accepted: {_ACCEPTED}.", field="/configuration/host_key")
        types = {kind for kind, _ in found}
        any_type = "" in types
        return cls(
            frozenset(print_ for _, print_ in found), tuple(kind for kind in _ALGORITHMS if any_type or kind in types)
        )

    def without(self, kind: str) -> HostPin:
        """The same, but another type of key is asked for: servers have several."""
        return HostPin(self.fingerprints, tuple(each for each in self.types if each != kind))

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What to offer the server, the best first."""
        return tuple(name for kind in self.types for name in _ALGORITHMS[kind])


def fingerprint(key: bytes) -> str:
    """Of a public key in its wire form, as `ssh-keygen -l` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _read_line(line: str) -> tuple[str, str]:
    """(type of key or empty, fingerprint). Raises InvalidInputError."""
    words = line.split()
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if match := _FINGERPRINT.match(word):
            return "", match[0]
        if word in _ALGORITHMS:
            return word, fingerprint(_key_bytes(word, after))
    shown = line.strip()[:80]
    raise InvalidInputError(f"host_key {shown!r} is not accepted: {_ACCEPTED}.", field="/configuration/host_key")


def _key_bytes(kind: str, text: str) -> bytes:
    try:
        load_ssh_public_key(f"{kind} {text}".encode())
        return base64.b64decode(text, validate=True)
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInputError(
            f"host_key: what follows {kind} is no such key, or not all of it. Accepted: {_ACCEPTED}.",
            field="/configuration/host_key",
        ) from None


def read_private_key(text: str, passphrase: str) -> Any:
    """A key of paramiko's. Raises InvalidInputError that shows nothing of it."""
    if "BEGIN" not in text:
        raise _refused("is no private key")
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text), password=passphrase or None)
        except paramiko.PasswordRequiredException:
            raise InvalidInputError(
                "private_key is encrypted: give private_key_passphrase too.",
                field="/configuration/private_key_passphrase",
            ) from None
        except Exception:  # noqa: BLE001,S112 - another kind of key; each reader fails in its own ways
            continue
    raise _refused("cannot be read: it is damaged, of another kind, or private_key_passphrase is wrong")


def _refused(problem: str) -> InvalidInputError:
    return InvalidInputError(
        f"private_key {problem}. Accepted: the text of a file that `ssh-keygen -t ed25519` or `-t rsa` made.",
        field="/configuration/private_key",
    )
