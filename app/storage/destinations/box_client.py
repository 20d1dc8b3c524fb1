"""The calls of Box's SDK that a destination needs, with our connections, no waits of its own, and errors of ours."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any
from urllib.parse import urlsplit

from box_sdk_gen.box.ccg_auth import BoxCCGAuth, CCGConfig
from box_sdk_gen.box.developer_token_auth import BoxDeveloperTokenAuth
from box_sdk_gen.managers.chunked_uploads import ChunkedUploadsManager
from box_sdk_gen.managers.downloads import DownloadsManager
from box_sdk_gen.managers.files import FilesManager
from box_sdk_gen.managers.folders import CreateFolderParent, FoldersManager
from box_sdk_gen.managers.uploads import (
    PreflightFileUploadCheckParent,
    UploadFileAttributes,
    UploadFileAttributesParentField,
    UploadFileVersionAttributes,
    UploadsManager,
)
from box_sdk_gen.networking.auth import Authentication
from box_sdk_gen.networking.box_network_client import BoxNetworkClient
from box_sdk_gen.networking.fetch_options import FetchOptions
from box_sdk_gen.networking.fetch_response import FetchResponse
from box_sdk_gen.networking.network import NetworkSession
from box_sdk_gen.networking.retries import RetryStrategy
from box_sdk_gen.schemas.upload_part import UploadPart
from box_sdk_gen.schemas.upload_session import UploadSession

from app.addresses import AddressPolicy
from app.errors import StorageError, StorageUnavailableError
from app.storage.checked_requests import make_session
from app.storage.destinations.box_errors import Conflict, GoneError, NameTakenError, translated
from app.storage.destinations.model import ReplacedMeanwhileError

_ACCEPTED = 202
_UNAUTHORIZED = 401
_MOST_WAITS = 60
_LONGEST_WAIT_S = 5.0


@dataclass(frozen=True)
class Target:
    """Where a file is to appear, and how messages call that."""

    folder_id: str
    name: str
    place: str


class BoxClient:
    """Used by one thread at a time. Every method raises what `translated` does; `place` is for its messages."""

    def __init__(self, auth: Authentication, policy: AddressPolicy, base_url: str = "") -> None:
        # One redirect: contents are downloaded from another host, to which no token is sent.
        self._session = make_session(policy, redirects=1, base_url=base_url)
        network = NetworkSession(network_client=BoxNetworkClient(self._session), retry_strategy=_Patience())  # type: ignore[no-untyped-call]
        self._chunked = ChunkedUploadsManager(auth=auth, network_session=network)
        self._downloads = DownloadsManager(auth=auth, network_session=network)
        self._files = FilesManager(auth=auth, network_session=network)
        self._folders = FoldersManager(auth=auth, network_session=network)
        self._uploads = UploadsManager(auth=auth, network_session=network)

    def make_folder(self, parent_id: str, name: str, place: str) -> str:
        """The id of the folder, which may be there already."""
        try:
            with translated(place):
                return self._folders.create_folder(name, CreateFolderParent(parent_id)).id
        except NameTakenError as error:
            taker = _named(error, place)
        if taker.kind != "folder":
            raise StorageError(f"{place}: {name!r} is a file, and would have to be a folder")
        return taker.id

    def find(self, target: Target) -> Conflict | None:
        """What has the name. Asked by the check before uploads, which needs no listing of large folders."""
        try:
            with translated(target.place):
                parent = PreflightFileUploadCheckParent(id=target.folder_id)
                self._uploads.preflight_file_upload_check(name=target.name, size=0, parent=parent)
        except NameTakenError as error:
            return _named(error, target.place)
        return None

    def upload(self, target: Target, old: Conflict | None, content: Any, sha1: str) -> None:
        """In one call: a new file (or NameTakenError), or a new version of `old`, unless that has changed.

        `content` can be sought in.
        """
        with translated(target.place):
            if old is None:
                attributes = UploadFileAttributes(target.name, UploadFileAttributesParentField(target.folder_id))
                self._uploads.upload_file(attributes, content, content_md_5=sha1)
            else:
                version = UploadFileVersionAttributes(target.name)
                self._uploads.upload_file_version(old.id, version, content, if_match=old.etag, content_md_5=sha1)

    def begin_session(self, target: Target, file_id: str | None, size: int) -> UploadSession:
        """For a new file (or NameTakenError), or for a new version of one."""
        with translated(target.place):
            if file_id is None:
                return self._chunked.create_file_upload_session(target.folder_id, size, target.name)
            return self._chunked.create_file_upload_session_for_existing_file(file_id, size)

    def upload_part(self, url: str, part: BufferedIOBase, digest: str, content_range: str, place: str) -> UploadPart:
        """`digest`: `sha=` and base64; `content_range`: `bytes first-last/size`."""
        with translated(place):
            uploaded = self._chunked.upload_file_part_by_url(trusted(url, place), part, digest, content_range)
        if uploaded.part is None:
            raise StorageUnavailableError(f"{place}: Box took a part and does not name it")
        return uploaded.part

    def find_part(self, url: str, index: int, place: str) -> UploadPart | None:
        """The part that arrived as the `index`-th, counted from 0."""
        with translated(place):
            found = self._chunked.get_file_upload_session_parts_by_url(trusted(url, place), offset=index, limit=1)
        return found.entries[0] if found.entries else None

    def commit(self, url: str, parts: list[UploadPart], digest: str, etag: str | None, place: str) -> None:
        """Raises ReplacedMeanwhileError, GoneError where the file or the session is not there."""
        with translated(place):
            done = self._chunked.create_file_upload_session_commit_by_url(
                trusted(url, place), parts, digest, if_match=etag
            )
        if done is None:
            raise StorageUnavailableError(f"{place}: Box still puts the parts together")

    def abort(self, url: str, place: str) -> None:
        """Forget a session, which may be gone."""
        with suppress(GoneError, ReplacedMeanwhileError), translated(place):
            self._chunked.delete_file_upload_session_by_url(trusted(url, place))

    def read(self, file_id: str, place: str) -> bytes:
        """A small file."""
        with translated(place):
            content = self._downloads.download_file(file_id)
            return b"" if content is None else content.read()

    def delete(self, file_id: str, place: str) -> None:
        with translated(place):
            self._files.delete_file_by_id(file_id)

    def close(self) -> None:
        self._session.close()


def make_auth(config: Mapping[str, str], secrets: Mapping[str, str]) -> Authentication:
    """By client credentials where there is a client_secret, else by a token that somebody made."""
    if not secrets.get("client_secret"):
        return BoxDeveloperTokenAuth(secrets["access_token"])
    return BoxCCGAuth(
        CCGConfig(
            config["client_id"],
            secrets["client_secret"],
            enterprise_id=config.get("enterprise_id"),
            user_id=config.get("user_id"),
        )
    )


class _Patience(RetryStrategy):
    """The SDK's own would sleep for as long as Box says. We ask again only where nothing else helps: with a new token
    after an old one expired, and for a commit that Box still works on (202, with the time to wait).
    """

    def should_retry(self, fetch_options: FetchOptions, fetch_response: FetchResponse, attempt_number: int) -> bool:
        if fetch_response.status == _UNAUTHORIZED:
            return attempt_number == 1 and _renew(fetch_options)
        waits = fetch_response.status == _ACCEPTED and "Retry-After" in fetch_response.headers
        return waits and attempt_number <= _MOST_WAITS

    def retry_after(
        self,
        fetch_options: FetchOptions,  # noqa: ARG002 - the SDK's signature
        fetch_response: FetchResponse,
        attempt_number: int,  # noqa: ARG002
    ) -> float:
        if fetch_response.status == _UNAUTHORIZED:
            return 0.0
        try:
            return min(float(fetch_response.headers["Retry-After"]), _LONGEST_WAIT_S)
        except ValueError:
            return 1.0


def _renew(options: FetchOptions) -> bool:
    """Whether there is a new token."""
    if not isinstance(options.auth, BoxCCGAuth):
        return False
    options.auth.refresh_token(network_session=options.network_session)
    return True


def _named(error: NameTakenError, place: str) -> Conflict:
    """What has the name. Box names nothing where another call for it is under way."""
    if error.by is None:
        raise StorageUnavailableError(f"{place}: something else is done to it at Box just now") from None
    return error.by


def trusted(url: str, place: str) -> str:
    """A URL that Box named for a session, and that the token is sent to: only to Box."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not (parts.hostname or "").endswith(".box.com"):
        raise StorageError(f"{place}: Box names an address outside box.com for the upload")
    return url
