"""What a STORAGE_URL of a bucket or container says: `scheme://bucket/prefix?name=value`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from app.errors import ConfigError, StorageError
from app.storage.keys import checked_prefix


@dataclass(frozen=True)
class Bucket:
    """A bucket as all of its clients name it: two that are equal are the same one. Ones that differ may be, too."""

    service: str
    endpoint: str
    name: str

    @classmethod
    def at(cls, service: str, endpoint_url: str, name: str) -> Bucket:
        """`endpoint_url`: empty for the service's own."""
        parts = urlsplit(endpoint_url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        return cls(service, f"{parts.scheme}://{parts.hostname}:{port}{parts.path.rstrip('/')}", name)


@dataclass(frozen=True)
class Place:
    """The parts of the URL. The prefix is empty or ends in a slash."""

    bucket: str
    prefix: str
    options: dict[str, str]


def read_place(
    storage_url: str, options: Mapping[str, str], *, names: tuple[str, ...], secrets: tuple[str, ...]
) -> Place:
    """Options named in `secrets` may be in `options` only, never in the URL. ConfigError names what is wrong."""
    parts = urlsplit(storage_url)
    if parts.username or parts.password or not parts.hostname:
        raise ConfigError(f"STORAGE_URL must be {parts.scheme}://bucket/prefix, without credentials in it")
    query = _query(parts.query)
    unknown = (query.keys() - set(names)) | (options.keys() - {*names, *secrets})
    if unknown:
        raise ConfigError(f"STORAGE_URL option {min(unknown)!r} is not one of {', '.join(names)}")
    try:
        prefix = checked_prefix(unquote(parts.path).strip("/"))
    except StorageError as error:
        raise ConfigError(f"STORAGE_URL: {error}") from error
    return Place(parts.netloc, prefix and prefix + "/", {**query, **options})


def _query(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, strict_parsing=bool(text), keep_blank_values=True)
    except ValueError as error:
        raise ConfigError("STORAGE_URL: what stands behind the question mark must be name=value&name=value") from error
    found = dict(pairs)
    for name, value in pairs:
        if not value or found[name] != value:
            raise ConfigError(f"STORAGE_URL option {name!r} must be there once, with a value")
    return found


def check_endpoint(name: str, url: str | None) -> None:
    """Raises ConfigError unless it is None or an http(s) URL without credentials and query."""
    parts = urlsplit(url or "https://none")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise ConfigError(f"STORAGE_URL option {name!r} must be http(s)://host[:port][/path], and nothing more")
