"""Signatures of callbacks, over values. No I/O, no clock.

Two schemes sign the same bytes of a body. SAP's receivers read `Elements-Webhook-Signature` (reference 4); everybody
else's libraries read the three headers of Standard Webhooks 1.0.0. docs/callbacks.md tells receivers how to verify.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

_STANDARD_PREFIX = "whsec_"


@dataclass(frozen=True)
class SigningKey:
    """One key, as each of the two schemes uses it. The bytes differ only for a key that begins with `whsec_`."""

    elements: bytes = field(repr=False)
    standard: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Read the text that an instance has as `event.notification.signature.key`. Raises ValueError if empty.

        A receiver takes the text as it stands and uses it as its scheme is always used: plain HMAC over the text's
        UTF-8 bytes, as with SAP, while a Standard Webhooks library decodes what follows `whsec_`.
        """
        if not text:
            raise ValueError("a signing key must not be empty")
        plain = text.encode()
        return cls(elements=plain, standard=_decoded(text) or plain)


def format_key(entropy: bytes) -> str:
    """A key text for an instance that brought none: 24 to 64 random bytes in the form of Standard Webhooks."""
    return _STANDARD_PREFIX + base64.b64encode(entropy).decode()


def elements_signature(key: SigningKey, body: bytes) -> str:
    """Value of `Elements-Webhook-Signature`: base64, not hex, of HMAC-SHA256 over the raw body (reference 4)."""
    return "sha256=" + _hmac(key.elements, body)


def standard_signature(keys: Sequence[SigningKey], event_id: str, timestamp: int, body: bytes) -> str:
    """Value of `webhook-signature`: one `v1,<base64>` for each key that is valid now, so that a key can be rotated.

    `timestamp` is that of the attempt, in whole seconds since 1970.
    """
    signed = b".".join((event_id.encode(), str(timestamp).encode(), body))
    return " ".join("v1," + _hmac(key.standard, signed) for key in keys)


def _hmac(key: bytes, message: bytes) -> str:
    return base64.b64encode(hmac.digest(key, message, hashlib.sha256)).decode()


def _decoded(text: str) -> bytes | None:
    """The bytes of a `whsec_` key; None for any other text. Padding may be missing, as the libraries allow."""
    if not text.startswith(_STANDARD_PREFIX):
        return None
    encoded = text.removeprefix(_STANDARD_PREFIX).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
