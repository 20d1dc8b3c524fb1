"""Access tokens of a Google service account, and what is kept secret with its key."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials
from requests import Session  # noqa: TID251 - of google-auth

from app.errors import InvalidInputError, StorageError, StorageUnavailableError

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - no password
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_TIMEOUT_S = 10
_NEEDED = ("client_email", "private_key", "private_key_id")


class Tokens:
    """Of one account. Empty credentials: of nobody, for servers that are asked without a token."""

    def __init__(self, credentials: str) -> None:
        self._credentials = _read(credentials) if credentials else None
        self._cipher = Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"gcs notes {credentials}".encode()).digest()))

    @property
    def account(self) -> str:
        """For people."""
        return "nobody" if self._credentials is None else str(self._credentials.service_account_email)

    def headers(self, session: Session) -> dict[str, str]:
        """What shows a server who asks. Raises StorageError, StorageUnavailableError."""
        found = self._credentials
        if found is None:
            return {}
        if not found.valid:
            self._refresh(found, Request(session))
        return {"Authorization": f"Bearer {found.token}"}

    def _refresh(self, found: Any, request: Any) -> None:
        try:
            found.refresh(lambda *words, **options: request(*words, **{**options, "timeout": _TIMEOUT_S}))
        except RefreshError as error:
            if error.retryable:
                raise StorageUnavailableError("Google gives no access token now; asked again later") from error
            raise StorageError(
                f"Google refuses the key of service account {self.account}: it was deleted or disabled, or this "
                "machine's clock is wrong. Make a new key, and change `credentials`."
            ) from error
        except GoogleAuthError as error:
            raise StorageUnavailableError(
                f"no answer from {TOKEN_URL}: no access token ({type(error).__name__})"
            ) from error

    def seal(self, text: str) -> str:
        """Encrypted with what only this account's key tells."""
        return self._cipher.encrypt(text.encode()).decode()

    def unseal(self, sealed: str) -> str | None:
        """None for what was sealed with another key."""
        try:
            return self._cipher.decrypt(sealed.encode()).decode()
        except InvalidToken:
            return None


def _read(text: str) -> Any:
    """Raises InvalidInputError. Where tokens are asked for is not the key's to say."""
    refusal = InvalidInputError(
        "credentials: not accepted. Accepted: the JSON text of a key of a service account "
        '("type": "service_account", "client_email", "private_key", "private_key_id").',
        field="/configuration/credentials",
    )
    try:
        told = json.loads(text)
        if told["type"] != "service_account":
            raise refusal
        kept = {name: told[name] for name in _NEEDED}
        return Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            {**kept, "token_uri": TOKEN_URL}, scopes=[_SCOPE]
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise refusal from None
