"""The calls of Azure Blob Storage that a push makes: bounded in time, to checked addresses, tried again briefly."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ServiceRequestTimeoutError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobBlock, BlobSasPermissions, ContainerClient, LinearRetry, generate_blob_sas
from requests.exceptions import TooManyRedirects  # noqa: TID251 - below the SDK

from app.addresses import AddressPolicy
from app.domain.parts import MOST_AT_ONCE
from app.errors import (
    HaulageError,
    ObjectMissingError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from app.storage.checked_requests import make_session
from app.storage.destinations.azure_account import Account
from app.storage.destinations.model import ReplacedMeanwhileError
from app.storage.destinations.tries import NotNowError, few_tries
from app.storage.strange_answers import nonsense

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
_SAS_LIFE = timedelta(hours=2)
_CLOCKS = timedelta(minutes=15)
"""A token for later than now would be refused by a service whose clock is behind ours."""

_NO_CONTAINER = {"ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"}
_REPLACED = {"ConditionNotMet", "BlobAlreadyExists", "InvalidBlockList"}
"""The last one: somebody else committed a list, which dropped the blocks that were copied to the blob."""
_KEYS = {"AuthenticationFailed", "InvalidAuthenticationInfo", "AuthorizationFailure", "NoAuthenticationInformation"}
_PASSING_CODES = {"OperationTimedOut", "ServerBusy", "InternalError"}
_REFUSED, _MISSING, _CONFLICT = {401, 403}, 404, 412
_PASSING, _FIRST_SERVER_FAULT, _FULL = {408, 429}, 500, 507

_T = TypeVar("_T")


class AzureContainer:
    """Names are whole, with the prefix. An ETag of None means that there is no blob.

    Every method raises StorageUnavailableError, StorageFullError, StorageError or AddressRefusedError.
    """

    def __init__(self, account: Account, policy: AddressPolicy) -> None:
        self.url = f"azure://{account.name}/{account.container}/"
        self._account = account
        logging.getLogger("azure").setLevel(logging.WARNING)  # it would tell every call
        self._session = make_session(policy, is_bounded=True)
        self._client = ContainerClient(
            account.url,
            account.container,
            credential=account.sas_token or {"account_name": account.name, "account_key": account.key},
            transport=RequestsTransport(
                session=self._session, connection_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S
            ),
            retry_policy=LinearRetry(retry_total=0),  # `few_tries` knows better which calls may be made again
        )
        self._options: dict[str, Any] = (
            {} if account.encryption_scope is None else {"encryption_scope": account.encryption_scope}
        )

    def close(self) -> None:
        self._session.close()

    def etag(self, name: str) -> str | None:
        try:
            found: str = self._call(name, lambda blob: blob.get_blob_properties().etag)
        except ObjectMissingError:
            return None
        return found

    def read(self, name: str, most_bytes: int) -> bytes:
        """Its first bytes: a server may claim any length."""
        return self._call(name, lambda blob: bytes(blob.download_blob(0, most_bytes, max_concurrency=1).readall()))

    def put(self, name: str, content: bytes, *, etag: str | None) -> None:
        """In one call, if that ETag is there. Raises ReplacedMeanwhileError."""
        self._call(
            name,
            lambda blob: blob.upload_blob(
                io.BytesIO(content),
                length=len(content),
                max_concurrency=1,
                **{"overwrite": True, **_if(etag)} if etag is not None else {"overwrite": False},
                **self._options,
            ),
        )

    def stage(self, name: str, block: str, content: bytes) -> None:
        """Send a block, under an id of `block_id`."""
        # A file goes out in pieces, each in its time.
        self._call(name, lambda blob: blob.stage_block(block, io.BytesIO(content), len(content), **self._options))

    def commit(self, name: str, blocks: Sequence[str], **conditions: Any) -> None:
        listed = [BlobBlock(block) for block in blocks]
        self._call(name, lambda blob: blob.commit_block_list(listed, **conditions, **self._options))

    def copy(self, source: str, size: int, name: str, nonce: str, *, block: int, etag: str | None) -> None:
        """Copy a blob within the container, if that ETag is there. Raises ReplacedMeanwhileError."""
        url, starts = self._readable_url(source), range(0, size, block)
        blocks = [block_id(nonce, number) for number in range(len(starts))]

        def stage(each: str, start: int) -> None:
            length = min(block, size - start)
            self._call(name, lambda blob: blob.stage_block_from_url(each, url, start, length, **self._options))

        pool = ThreadPoolExecutor(MOST_AT_ONCE)
        try:
            list(pool.map(stage, blocks, starts))
        finally:
            pool.shutdown(cancel_futures=True)
        self.commit(name, blocks, **_if(etag))

    def _readable_url(self, name: str) -> str:
        """Azure reads the source as a stranger would: by a URL with a token."""
        url: str = self._client.get_blob_client(name).url
        if self._account.sas_token:
            return url  # has it
        now = datetime.now(UTC)
        token = generate_blob_sas(
            self._account.name,
            self._account.container,
            name,
            account_key=self._account.key,
            permission=BlobSasPermissions(read=True),
            start=now - _CLOCKS,
            expiry=now + _SAS_LIFE,
        )
        return f"{url}?{token}"

    def delete(self, name: str) -> None:
        """A blob that is not there is fine."""
        try:
            self._call(name, lambda blob: blob.delete_blob(delete_snapshots="include"))
        except ObjectMissingError:
            return

    def discard(self, name: str) -> None:
        """Delete a blob with the blocks that were sent to it. Blocks alone go by committing a list without them."""
        try:
            committed, others = self._call(name, lambda blob: blob.get_block_list("all"))
        except ObjectMissingError:
            return
        if others and not committed:
            self.commit(name, [])
        self.delete(name)

    def _call(self, name: str, call: Callable[[Any], _T]) -> _T:
        return few_tries(lambda: self._once(name, call))

    def _once(self, name: str, call: Callable[[Any], _T]) -> _T:
        try:
            return call(self._client.get_blob_client(name))
        except (AzureError, OSError) as error:
            raise self._translate(error, f"blob {name} in {self.url}") from error
        except HaulageError:
            raise
        except Exception as error:
            raise nonsense(f"blob {name} in {self.url}", error) from error

    def _translate(self, error: Exception, what: str) -> HaulageError:
        if isinstance(error, HttpResponseError) and error.status_code is not None:
            return self._refusal(error, error.status_code, what)
        if isinstance(getattr(error, "inner_exception", None), TooManyRedirects):
            return StorageError(f"{what}: {self._account.url} leads to another address, which is not followed")
        if isinstance(error, ServiceRequestTimeoutError | ServiceResponseTimeoutError):
            return NotNowError(f"{what}: no answer from {self._account.url} in time")
        return StorageUnavailableError(f"{what}: no answer from {self._account.url} ({type(error).__name__})")

    def _refusal(self, error: HttpResponseError, status: int, what: str) -> HaulageError:  # noqa: PLR0911 - one a kind
        code = _code(error) or str(status)
        if code in _NO_CONTAINER:
            return StorageError(
                f"container {self._account.container!r} does not exist in account {self._account.name}; create it first"
            )
        if status in _REFUSED:
            return StorageError(f"{what} is refused ({code}): {self._remedy(code)}")
        if status == _MISSING:
            return ObjectMissingError(f"{what} is missing")
        if code in _REPLACED or status == _CONFLICT:
            return ReplacedMeanwhileError(f"{what} was written by somebody else meanwhile")
        if status == _FULL:
            return StorageFullError(f"{what}: the account is full ({code})")
        if code in _PASSING_CODES or status in _PASSING or status >= _FIRST_SERVER_FAULT:
            return StorageUnavailableError(f"{what}: the server failed ({code})")
        return StorageError(f"{what} is refused by the server ({code})")

    def _remedy(self, code: str) -> str:
        if code in _KEYS:
            secret = "sas_token" if self._account.sas_token else "account_key"
            return f"{secret} does not fit account {self._account.name}, has expired, or its network rules shut us out"
        return "it needs the rights to read, create, write and delete blobs in the container"


def block_id(nonce: str, number: int) -> str:
    """The ids of all blocks of a blob have to be equally long."""
    return f"{nonce}-{number:05d}"


def _if(etag: str | None) -> dict[str, Any]:
    if etag is None:
        return {"match_condition": MatchConditions.IfMissing}
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def _code(error: HttpResponseError) -> str:
    """Azure's own; a member of an enumeration of the library's. Not what else an answer says: it may be anything."""
    code = getattr(error, "error_code", None)
    found = str(getattr(code, "value", code) or "")
    return found if found.isalnum() else ""
