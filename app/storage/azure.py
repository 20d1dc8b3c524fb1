"""Objects as block blobs in a container of Azure Blob Storage.

Small objects, which segments are, go up in one call, large ones in blocks that count once their list is committed.
Blocks of a writer that died are invisible; Azure drops them after a week, and `unfinished` names them before.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobBlock

from app.errors import (
    ConfigError,
    HaulageError,
    ObjectMissingError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from app.storage.azure_client import AzurePlace, make_client
from app.storage.chunks import in_blocks, taken
from app.storage.keys import checked_prefix
from app.storage.objects import folder_prefix
from app.storage.places import check_endpoint, read_place
from app.storage.remote import PART_BYTES, SINGLE_PUT_BYTES, RemoteStore
from app.storage.strange_answers import nonsense

__all__ = ["AzurePlace", "AzureStore", "azure_place"]

_SECRETS = ("connection_string", "account_key", "sas_token")
_NO_CONTAINER = {"ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"}
_FINISHED = {"BlobAlreadyExists", "ConditionNotMet"}
_PASSING_CODES = {"OperationTimedOut", "ServerBusy", "InternalError"}
_REFUSED = {401, 403}
_MISSING = 404
_BEHIND_THE_END = 416
_PASSING = {408, 429}
_FULL = 507
_FIRST_SERVER_FAULT = 500


def azure_place(storage_url: str, options: Mapping[str, str]) -> AzurePlace:
    """Read `azure://container/prefix?account_url=…&encryption_scope=…`; ConfigError names what is wrong."""
    place = read_place(storage_url, options, names=("account_url", "encryption_scope"), secrets=_SECRETS)
    given = [name for name in _SECRETS if name in place.options]
    url = place.options.get("account_url")
    check_endpoint("account_url", url)
    if ("connection_string" in given) == (url is not None):
        raise ConfigError(
            "STORAGE_URL azure://container/prefix needs either ?account_url=https://ACCOUNT.blob.core.windows.net or "
            "AZURE_STORAGE_CONNECTION_STRING, which names an account as well"
        )
    if len(given) > 1:
        raise ConfigError(f"Of {', '.join(_SECRETS)} one is accepted, not {len(given)}")
    if not given and (url or "").startswith("http://"):
        raise ConfigError("STORAGE_URL option 'account_url' must be https:// where no key is given: a token goes there")
    return AzurePlace(place.bucket, place.prefix, **place.options)


class AzureStore(RemoteStore):
    """Objects of one container below a prefix."""

    def __init__(self, place: AzurePlace) -> None:
        super().__init__(f"azure://{place.container}/{place.prefix}", place.prefix)
        self.place = place
        scope = place.encryption_scope
        self._encryption: dict[str, Any] = {} if scope is None else {"encryption_scope": scope}

    def put(self, key: str, chunks: Iterable[bytes]) -> None:
        name = self._name(key)
        rest = iter(chunks)
        head = taken(rest, SINGLE_PUT_BYTES)
        if len(head) > SINGLE_PUT_BYTES:
            self._put_blocks(key, self._blob(name), in_blocks(chain([head], rest), PART_BYTES))
            return
        with self._translated(key):
            self._blob(name).upload_blob(head, overwrite=True, max_concurrency=1, **self._encryption)

    def _put_blocks(self, key: str, blob: Any, parts: Iterator[bytes]) -> None:
        blocks = []
        for part in parts:
            blocks.append(BlobBlock(secrets.token_hex(16)))  # ours alone, should somebody write beside us
            with self._translated(key):
                blob.stage_block(blocks[-1].id, part, length=len(part), **self._encryption)
        with self._translated(key):
            blob.commit_block_list(blocks, **self._encryption)

    def fetch(self, name: str, start: int, end: int) -> bytes:
        try:
            data: bytes = self._blob(name).download_blob(start, end - start, max_concurrency=1).readall()
        except HttpResponseError as error:
            if error.status_code != _BEHIND_THE_END:
                raise
            return b""
        return data

    def size(self, key: str) -> int:
        with self._translated(key):
            size: int = self._blob(self._name(key)).get_blob_properties().size
            return size

    def delete(self, key: str) -> None:
        with suppress(ObjectMissingError), self._translated(key):
            self._blob(self._name(key)).delete_blob(delete_snapshots="include")

    def list(self, prefix: str = "") -> Iterator[str]:
        start = self._prefix + checked_prefix(prefix)
        with self._translated(prefix):
            for name in self._sdk().list_blob_names(name_starts_with=start):
                yield name.removeprefix(self._prefix)

    def unfinished(self, prefix: str) -> dict[str, str]:
        start = self._prefix + checked_prefix(folder_prefix(prefix))
        finished = set(self.list(prefix))
        with self._translated(prefix):
            found = self._sdk().list_blobs(name_starts_with=start, include=["uncommittedblobs"])
            keys = [blob.name.removeprefix(self._prefix) for blob in found]
        return {key: key for key in keys if key not in finished}

    def discard(self, name: str) -> None:
        """Blocks go when a list without them is committed: an empty blob, which is deleted at once."""
        blob = self._blob(self._name(name))
        with suppress(ObjectMissingError), self._translated(name):
            try:
                blob.commit_block_list([], match_condition=MatchConditions.IfMissing)
            except HttpResponseError as error:
                if _code(error) in _FINISHED:
                    return  # its writer lived after all, and was quicker
                raise
            blob.delete_blob()

    def _blob(self, name: str) -> Any:
        return self._sdk().get_blob_client(name)

    def _connect(self) -> Any:
        return make_client(self.place)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except (AzureError, OSError) as error:
            raise self.translate(error, key) from error
        except HaulageError:
            raise
        except Exception as error:
            raise nonsense(f"object {key} in {self.url}", error) from error

    def translate(self, error: Exception, key: str) -> HaulageError:
        what = f"object {key} in {self.url}"
        if isinstance(error, HttpResponseError) and error.status_code is not None:
            return self._translate_answer(error, error.status_code, what)
        if isinstance(error, ClientAuthenticationError):
            return StorageUnavailableError(
                f"no credentials for {self.url}: set AZURE_STORAGE_CONNECTION_STRING, or attach an identity"
            )
        where = self.place.account_url or "Azure"
        return StorageUnavailableError(f"{what}: no answer from {where} ({type(error).__name__})")

    def _translate_answer(self, error: HttpResponseError, status: int, what: str) -> HaulageError:
        code = _code(error) or str(status)
        if code in _NO_CONTAINER:
            return StorageError(f"container {self.place.container!r} does not exist; create it, or check STORAGE_URL")
        if status == _MISSING:
            return ObjectMissingError(f"{what} is missing")
        if status in _REFUSED:
            return StorageError(f"{what} is refused ({code}): check the credentials and their role in the container")
        if status == _FULL:
            return StorageFullError(f"store {self.url} is full ({code}): cannot write {what}")
        if code in _PASSING_CODES or status in _PASSING or status >= _FIRST_SERVER_FAULT:
            return StorageUnavailableError(f"{what}: {code}")
        return StorageError(f"{what}: {code} {_first_line(error)}")


def _code(error: HttpResponseError) -> str:
    """Azure's own; a member of an enumeration of the library's."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _first_line(error: HttpResponseError) -> str:
    lines = (error.message or "").splitlines()
    return lines[0][:200] if lines else ""
