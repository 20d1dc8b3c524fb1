"""Names of objects at a destination: the allowed prefix and a path, by the rules of our own stores' keys."""

from __future__ import annotations

from collections.abc import Mapping

from app.errors import InvalidInputError, StorageError
from app.storage.keys import checked_key, checked_prefix


def read_prefix(config: Mapping[str, str], name: str = "prefix") -> str:
    """A setting that names objects begin with. Raises InvalidInputError that names it."""
    try:
        return checked_prefix(config.get(name, ""))
    except StorageError as error:
        raise InvalidInputError(
            f"{name}: {error.message}. Accepted: names with / between them, for example exports/daily/.",
            field=f"/configuration/{name}",
        ) from None


def object_name(prefix: str, path: str) -> str:
    """The whole name. Both parts are checked, so it is below the prefix. Raises StorageError that names the path."""
    checked_key(path)
    return checked_key(prefix + path)


def part_name(prefix: str, nonce: str) -> str:
    """Where a store has no unfinished objects: the name of one. Nobody can ask for it, since it begins with a dot."""
    return f"{prefix}.haulage-{nonce}.part"


def compose_name(prefix: str, nonce: str, level: int, slot: int) -> str:
    """Of one more of the same attempt, with a place of its own in the tree by which it is put together."""
    return part_name(prefix, f"{nonce}-{level}-{slot}")
