"""A record's child put into it, where it has only the child's key: as text, so that no byte of either changes.

The vendor shows one example (reference 9): `accountId: "3"` becomes `account: {id, ...}`. The name loses its suffix and
the key is gone. Lists of children stand behind all other fields, under the name of the child object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.selection.scanning import Member, UnreadableError, members_of

_SUFFIX = re.compile(r"(.+?)(?:Id|ID|_id)")
_NUMBER = re.compile(rb"-?\d[\d.eE+-]*")


@dataclass(frozen=True)
class Naming:
    """Under which fields a record may hold the key, each with the name of what takes its place.

    `is_list`: the key is the record's own, and stays; its children are put behind all other fields.
    """

    fields: tuple[tuple[str, str], ...]
    is_list: bool = False

    def slot(self, record: bytes) -> Slot:
        """Where the child goes in this record. What is no object has no place for one."""
        try:
            members = _members(record)
        except UnreadableError:
            members = None
        if members is None:
            return Slot(record)
        by_name = {each.name: each for each in members}
        field, name = next((pair for pair in self.fields if pair[0] in by_name), self.fields[0])
        return Slot(record, members, by_name.get(field), name, is_list=self.is_list)


@dataclass(frozen=True)
class Slot:
    """The place for a child in one record."""

    record: bytes
    members: Sequence[Member] | None = None
    field: Member | None = None
    name: str = ""
    is_list: bool = False

    @property
    def key(self) -> str | None:
        """What the vendor knows the child (or the parent of the children) by; None where nothing is to be asked."""
        if self.field is None:
            return None
        raw = self.record[self.field.value_start : self.field.end]
        if _NUMBER.fullmatch(raw):
            return raw.decode()
        return _usable(raw) if raw.startswith(b'"') else None

    @property
    def is_lost(self) -> bool:
        """There is something in the place of a key, or should be, and nothing can be asked by it."""
        if self.members is None or self.key is not None:
            return False
        return self.is_list or (
            self.field is not None and self._value() not in {b"null", b'""'} and not self._is_nested
        )

    @property
    def _is_nested(self) -> bool:
        return self._value()[:1] in {b"{", b"["}

    def _value(self) -> bytes:
        return b"" if self.field is None else self.record[self.field.value_start : self.field.end]

    def filled(self, child: bytes | None) -> bytes:
        """The record with its child. None: there is none; then a key that led to nothing stays beside the null."""
        if self.members is None:
            return self.record
        if self.is_list:
            return self._joined(self._label + (child or b"[]"), instead_of=None)
        if self.field is None or self._is_nested or (child is None and self.field.name == self.name):
            return self.record
        is_key_kept = child is None and self._value() != b"null"
        return self._joined(self._label + (child or b"null"), instead_of=None if is_key_kept else self.field)

    @property
    def _label(self) -> bytes:
        return json.dumps(self.name).encode() + b":"

    def _joined(self, member: bytes, *, instead_of: Member | None) -> bytes:
        """With the new member in its place, or behind all others; another one of its name goes."""
        parts = []
        for each in self.members or ():
            if each is instead_of:
                parts.append(member)
            elif each.name != self.name:
                parts.append(self.record[each.start : each.end])
        if instead_of is None:
            parts.append(member)
        return b"{" + b",".join(parts) + b"}"


def listed(object_name: str, field: str) -> Naming:
    """The children of each record, asked for by its `field`."""
    return Naming(((field, object_name),), is_list=True)


def referenced(object_name: str, key_name: str, field: str) -> Naming:
    """The one record that each record refers to.

    If `field` is the name of the child's own key (`key_name`), the field of the record is made of both names, in any
    usual spelling: accounts and id give accountId, account_id, AccountId, accountID. Any other `field` is taken as the
    record's.
    """
    if field != key_name:
        return Naming(((field, _without_suffix(field)),))
    pairs = [(spelt, _without_key(spelt, key_name)) for one in _singulars(object_name) for spelt in _spelt(one, field)]
    return Naming(tuple(dict.fromkeys(pairs)))


def _spelt(one: str, key: str) -> list[str]:
    low, high = one[:1].lower() + one[1:], one[:1].upper() + one[1:]
    capital = key[:1].upper() + key[1:]
    return [low + capital, f"{low}_{key}", high + capital, low + key.upper(), one + capital, f"{one}_{key}"]


def _without_key(field: str, key: str) -> str:
    return field[: -len(key)].removesuffix("_")


def _without_suffix(field: str) -> str:
    found = _SUFFIX.fullmatch(field)
    return found[1] if found else field


def _singulars(name: str) -> list[str]:
    """What the plural may be of; English is not regular, and a record has one of them at most."""
    low = name.lower()
    forms = [name[:-3] + "y"] if low.endswith("ies") else []
    forms += [name[:-2]] if low.endswith(("ses", "xes", "ches", "shes", "zes")) else []
    forms += [name[:-1]] if low.endswith("s") and not low.endswith("ss") else []
    return [*forms, name]


def _usable(raw: bytes) -> str | None:
    """The text, if it can stand in a path."""
    try:
        text = str(json.loads(raw, strict=False))
        text.encode()
    except (ValueError, UnicodeError):
        return None
    return text if text.strip(". ") else None


def _members(text: bytes) -> list[Member] | None:
    """The fields of an object, the last of each name; None where it is none. Raises UnreadableError."""
    found = members_of(text)
    return None if found is None else [*{each.name: each for each in found}.values()]
