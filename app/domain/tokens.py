"""The form of the secrets that we issue: `hlg_u_` + 32 random letters and digits + 6 of checksum.

32 characters of base 62 are 190 random bits, so a plain SHA-256 is a safe way to store them. The checksum lets a
scanner of repositories and logs tell a real token from something that looks like one; it is no protection and is not
checked when somebody signs in, so that secrets brought along from elsewhere can be stored too.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from enum import StrEnum
from string import ascii_letters, digits

_ALPHABET = digits + ascii_letters
_RANDOM_LENGTH = 32
_CHECKSUM_LENGTH = 6
_HINT_LENGTH = 10


class TokenKind(StrEnum):
    """What a token speaks for, as its prefix."""

    ORGANISATION = "hlg_o_"
    USER = "hlg_u_"
    INSTANCE = "hlg_i_"


def mint(kind: TokenKind) -> str:
    """A new token."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return kind.value + body + _checksum(kind.value + body)


def is_ours(text: str) -> bool:
    """True for a text of the right form with the right checksum."""
    prefixed = any(text.startswith(kind.value) for kind in TokenKind)
    length = len(TokenKind.USER.value) + _RANDOM_LENGTH + _CHECKSUM_LENGTH
    return prefixed and len(text) == length and _checksum(text[:-_CHECKSUM_LENGTH]) == text[-_CHECKSUM_LENGTH:]


def hash_of(token: str) -> bytes:
    """What is stored and looked up in place of the token."""
    return hashlib.sha256(token.encode()).digest()


def hint_of(token: str) -> str:
    """The first characters, to tell tokens apart in a list."""
    return token[:_HINT_LENGTH]


def _checksum(text: str) -> str:
    value, letters = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        value, digit = divmod(value, len(_ALPHABET))
        letters = _ALPHABET[digit] + letters
    return letters
