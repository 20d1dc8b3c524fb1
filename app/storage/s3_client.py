"""A client of S3 that holds what we call of it, and no more.

botocore's own would keep a description of every call that S3 knows and of the addresses of every service: 14 MB in each
process. It reads both from JSON files; ours are read in parts, so that the rest never becomes objects.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.session
import msgspec
from botocore.config import Config

_CALLS = {
    "PutObject",
    "GetObject",
    "HeadObject",
    "DeleteObject",
    "DeleteObjects",
    "ListObjectsV2",
    "ListMultipartUploads",
    # smart-open's
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
    # those of destinations
    "ListParts",
    "UploadPartCopy",
    # botocore's, where a bucket lies in another region or is one of S3 Express
    "HeadBucket",
    "CreateSession",
}
_SERVICES = {"s3", "sts", "sso", "portal.sso", "oidc", "signin"}
"""S3, and where credentials may come from."""

_Document = dict[str, msgspec.Raw]


@dataclass(frozen=True)
class S3Place:
    """Where a store lies. Without keys botocore looks for credentials in its usual places."""

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    sse: str | None = None
    """Server-side encryption: AES256 or aws:kms; None: as the bucket does it."""
    sse_kms_key_id: str | None = None
    sse_bucket_key: str | None = None
    """true or false; None: as the bucket says."""
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


_CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"total_max_attempts": 3, "mode": "standard"},
    max_pool_connections=64,
    tcp_keepalive=True,
)


def make_client(place: S3Place, config: Config = _CONFIG, session: botocore.session.Session | None = None) -> Any:
    """A client whose every call ends: of itself at most 3 tries of 5 s to connect and 30 s without a byte."""
    session = session or botocore.session.Session()  # one of its own: making a client is not thread-safe
    session.get_component("data_loader").file_loader = _Files()
    client = session.create_client(
        "s3",
        region_name=place.region,
        endpoint_url=place.endpoint_url,
        aws_access_key_id=place.access_key_id,
        aws_secret_access_key=place.secret_access_key,
        aws_session_token=place.session_token,
        config=config,
    )
    client.meta.events.register("before-call.s3.HeadBucket", _ask_no_further)
    return client


def _ask_no_further(context: dict[str, Any], **_: Any) -> None:
    """Botocore asks with HeadBucket after the region of a bucket that is elsewhere, and would follow that, too.

    A server that leads everything elsewhere and names no region was asked until Python's stack was full.
    """
    context.setdefault("s3_redirect", {})["redirected"] = True


class _Files(botocore.loaders.JSONFileLoader):  # type: ignore[misc] # botocore has no types
    """botocore's data files, two of them in part."""

    def load_file(self, file_path: str) -> Any:
        path = Path(file_path)
        if path.name == "endpoints":
            return _part_of(path, _endpoints)
        if path.name == "service-2" and path.parts[-3:-2] == ("s3",):
            return _part_of(path, _model)
        return super().load_file(file_path)


def _part_of(path: Path, choose: Callable[[_Document], dict[str, Any]]) -> dict[str, Any] | None:
    """None where there is no such file: there are several places to look."""
    plain, packed = path.with_name(f"{path.name}.json"), path.with_name(f"{path.name}.json.gz")
    if plain.is_file():
        return choose(_document(plain.read_bytes()))
    if packed.is_file():
        return choose(_document(gzip.decompress(packed.read_bytes())))
    return None


def _endpoints(document: _Document) -> dict[str, Any]:
    partitions = []
    for raw in msgspec.json.decode(document["partitions"], type=list[msgspec.Raw]):
        partition = _document(raw)
        services = _document(partition["services"])
        kept = {name: _plain(services[name]) for name in services.keys() & _SERVICES}
        partitions.append({name: kept if name == "services" else _plain(part) for name, part in partition.items()})
    rest = document.keys() - {"partitions"}
    return {**{name: _plain(document[name]) for name in rest}, "partitions": partitions}


def _model(document: _Document) -> dict[str, Any]:
    """The calls, and the shapes that they lead to."""
    calls, shapes = _document(document["operations"]), _document(document["shapes"])
    operations = {name: _undocumented(_plain(raw)) for name, raw in calls.items() if name in _CALLS}
    found: dict[str, Any] = {}
    left = set(_shapes_in(operations))
    while left:
        name = left.pop()
        found[name] = _undocumented(_plain(shapes[name]))
        left |= set(_shapes_in(found[name])) - found.keys()
    rest = {
        name: _plain(part) for name, part in document.items() if name not in {"documentation", "operations", "shapes"}
    }
    return {**rest, "operations": operations, "shapes": found}


def _shapes_in(part: Any) -> Iterator[str]:
    """Names of the shapes that a part of the model refers to."""
    if isinstance(part, dict):
        if isinstance(part.get("shape"), str):
            yield part["shape"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _shapes_in(each)


def _undocumented(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _undocumented(each) for name, each in part.items() if name != "documentation"}
    return part


def _document(content: bytes | msgspec.Raw) -> _Document:
    return msgspec.json.decode(content, type=_Document)


def _plain(raw: msgspec.Raw) -> Any:
    return msgspec.json.decode(raw)
