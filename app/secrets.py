"""Encryption of what customers entrust to us: the credentials of their instances.

A sealed value carries the ids of its organisation and instance inside the ciphertext, so that a row's secrets cannot be
moved to another row or tenant in the database. Keys are Fernet keys (AES-128-CBC with HMAC-SHA-256); the first one
encrypts, every one decrypts, which is what makes them rotatable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app.errors import ConfigError

MASK = "********"
"""How a secret value is shown (reference 8, Masking)."""

SIGNATURE_KEY = "event.notification.signature.key"
"""Name of the callback signing key among an instance's secrets (reference 4)."""

OLDER_KEYS = "event.notification.signature.previous"
"""Name of the keys before it that are still valid; ours, since the vendor knows one key."""

HEADERS = "event.notification.callback.headers"
USER_NAME = "event.notification.basic.username"
PASSWORD = "event.notification.basic.password"  # noqa: S105 - a name
CALLBACK_URL = "event.notification.callback.url"
"""Further settings of an instance's callbacks (reference 4). Headers and password are secrets."""


class Vault:
    """Seals and opens the secrets of instances. Raises ConfigError for keys that are none."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        if not keys:
            raise ConfigError("Set HAULAGE_ENCRYPTION_KEYS; `haulage keys generate` prints a key.")
        try:
            ciphers = [Fernet(key) for key in keys]
        except ValueError as error:
            raise ConfigError(
                "HAULAGE_ENCRYPTION_KEYS=(hidden) is not accepted: Fernet keys (32 bytes, base64url), comma separated."
            ) from error
        self._first = ciphers[0]
        self._any = MultiFernet(ciphers)

    def seal(self, organisation_id: int, instance_id: int, mapping: Mapping[str, Any]) -> bytes:
        """Encrypt a JSON object for one instance of one organisation."""
        return self._first.encrypt(msgspec.json.encode([organisation_id, instance_id, mapping]))

    def open(self, organisation_id: int, instance_id: int, sealed: bytes) -> dict[str, Any]:
        """Decrypt what `seal` made for the same instance. Raises ConfigError for anything else."""
        try:
            owner, instance, mapping = msgspec.json.decode(self._any.decrypt(sealed))
        except InvalidToken as error:
            raise ConfigError(
                f"The secrets of instance {instance_id} cannot be decrypted: HAULAGE_ENCRYPTION_KEYS lacks their key."
            ) from error
        if (owner, instance) != (organisation_id, instance_id):
            raise ConfigError(f"The secrets stored with instance {instance_id} belong to another one.")
        return dict(mapping)

    def reseal(self, sealed: bytes) -> bytes | None:
        """The same secrets under the first key; None if they are under it already. Raises ConfigError."""
        try:
            self._first.decrypt(sealed)
        except InvalidToken:
            return self._rotate(sealed)
        return None

    def _rotate(self, sealed: bytes) -> bytes:
        try:
            return self._any.rotate(sealed)
        except InvalidToken as error:
            raise ConfigError(
                "HAULAGE_ENCRYPTION_KEYS lacks the key that these secrets were encrypted with."
            ) from error


def generate_encryption_key() -> str:
    """A new key for HAULAGE_ENCRYPTION_KEYS."""
    return Fernet.generate_key().decode()
