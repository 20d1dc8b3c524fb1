"""Quoting what a vendor said: readable whatever it is, short, and without the secrets that it may echo."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from urllib.parse import quote

from app.connectors import auth
from app.connectors.model import Connector

DETAIL_CHARS = 200
_QUOTABLE_BYTES = 64 * 1024
"""Where secrets are looked for before anything is cut off: half a secret would not be found."""
_QUOTED_CHARS = 4000
_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


class Redactor:
    """Knows the secrets of one instance; never logged."""

    def __init__(self, connector: Connector, config: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        self._forms = _forms_of(*secrets.values(), auth.encoded_secret(connector.auth, secrets, config))

    def hidden(self, text: str) -> str:
        """The text without secrets, in any of the ways that vendors spell them."""
        for form in self._forms:
            text = text.replace(form, "***")
        return text

    def cut(self, text: str) -> str:
        """As `hidden`, at most DETAIL_CHARS."""
        return self.hidden(text)[:DETAIL_CHARS]

    def excerpt(self, body: bytes) -> str:
        """What the vendor said, markup and control characters gone; at most DETAIL_CHARS."""
        whole = self.hidden(body[:_QUOTABLE_BYTES].decode("utf-8", "replace"))
        text = _MARKUP.sub(" ", whole[:_QUOTED_CHARS])
        readable = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return self.cut(readable)


def _forms_of(*secrets: str | None) -> list[str]:
    """How vendors spell secrets when they echo them: as sent, percent-encoded, in JSON, in HTML; the longest first."""
    spellings = (str, _percent_encoded, lambda text: json.dumps(text)[1:-1], html.escape)
    return sorted({spell(secret) for secret in secrets if secret for spell in spellings}, key=len, reverse=True)


def _percent_encoded(text: str) -> str:
    return quote(text, safe="")
