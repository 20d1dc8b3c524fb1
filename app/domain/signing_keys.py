"""The keys of an instance that sign at one moment: the newest, and those before it that are still valid. Pure.

Setting a new key keeps the one before it for a time, in which receivers learn the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from app.domain.signing import SigningKey

MOST_OLDER = 2


@dataclass(frozen=True)
class OlderKey:
    """A key that was replaced. `valid_until`: seconds since 1970."""

    text: str = field(repr=False)
    valid_until: float


@dataclass(frozen=True)
class KeyRing:
    """`older`: the one that was replaced last comes first."""

    newest: str = field(repr=False)
    older: tuple[OlderKey, ...] = ()

    @classmethod
    def parse(cls, newest: str, older: str | None) -> KeyRing:
        """Read what an instance's secrets hold: `newest` as it stands, `older` as `older_text` wrote it."""
        pairs = msgspec.json.decode(older, type=list[tuple[str, float]]) if older else []
        return cls(newest, tuple(OlderKey(*pair) for pair in pairs))

    def older_text(self) -> str | None:
        """The older keys as one text; None without any."""
        if not self.older:
            return None
        return msgspec.json.encode([(each.text, each.valid_until) for each in self.older]).decode()

    def at(self, now_s: float) -> KeyRing:
        """Without those that are valid no more."""
        return replace(self, older=tuple(each for each in self.older if each.valid_until > now_s))

    def rotated(self, newest: str, now_s: float, overlap_s: float) -> KeyRing:
        """With a new key; the one before it stays valid for `overlap_s`. Raises ValueError where there are too many."""
        if newest == self.newest:
            return self.at(now_s)
        older = (OlderKey(self.newest, now_s + overlap_s), *self.older)
        ring = KeyRing(newest, tuple(each for each in older if each.text != newest)).at(now_s)
        if len(ring.older) > MOST_OLDER:
            raise ValueError(f"{len(ring.older) + 1} keys would be valid at once; up to {MOST_OLDER + 1} are accepted")
        return ring

    def signing_keys(self) -> list[SigningKey]:
        """The newest first."""
        return [SigningKey.parse(text) for text in (self.newest, *(each.text for each in self.older))]


def ring_of(secrets: Mapping[str, str], newest_name: str, older_name: str) -> KeyRing | None:
    """The keys among an instance's secrets; None where it has none."""
    newest = secrets.get(newest_name)
    return KeyRing.parse(str(newest), secrets.get(older_name)) if newest else None
