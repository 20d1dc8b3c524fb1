"""What Box and its SDK raise, as errors of ours. Texts of theirs are not shown: they repeat whole requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from box_sdk_gen.box.errors import BoxAPIError, BoxSDKError
from requests.exceptions import InvalidHeader, RequestException  # noqa: TID251 - what the SDK lets through

from app.errors import HaulageError, StorageError, StorageFullError, StorageUnavailableError
from app.storage.destinations.model import ReplacedMeanwhileError

_FIRST_SERVER_FAULT = 500
_CHANGED = 412
_CONFLICT = 409
_TOO_MANY = 429
_GONE = {404, 410}
_FULL = {"storage_limit_exceeded", "insufficient_storage"}
_REFUSED_NAMES = {"item_name_invalid", "item_name_too_long", "bad_request_name"}
_CREDENTIALS = (
    "Box refuses the credentials. Check client_id, client_secret and enterprise_id or user_id, or access_token, and "
    "that an administrator has authorised the app."
)
_RIGHTS = "Box does not let the app write here. Invite its service account to the folder as an editor."
_DEFAULT_WAIT_S = 5.0


@dataclass(frozen=True)
class Conflict:
    """What has a name that was asked for. The etag of a file changes with each of its versions."""

    kind: str
    id: str
    etag: str
    sha1: str


class NameTakenError(ReplacedMeanwhileError):
    """Something in the folder has the name already."""

    def __init__(self, message: str, by: Conflict | None) -> None:
        super().__init__(message)
        self.by = by


class GoneError(StorageError):
    """The folder, the file or the upload session is not there."""


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raises the errors that `Destination` promises, ReplacedMeanwhileError and the above."""
    try:
        yield
    except BoxAPIError as error:
        raise _of_answer(error, place) from None
    except BoxSDKError as error:
        raise _of_transport(error.error, place) from None
    except RequestException as error:  # while a body is read
        raise _of_transport(error, place) from None
    except (AttributeError, KeyError, TypeError, ValueError):  # the SDK takes answers for granted
        raise StorageUnavailableError(f"{place}: the answer is none that Box documents") from None


def _of_transport(error: Exception | None, place: str) -> HaulageError:
    if isinstance(error, InvalidHeader):
        return StorageError(f"{place}: the access_token has a character that HTTP does not take")
    return StorageUnavailableError(f"{place}: Box cannot be reached ({type(error).__name__})")


def _of_answer(error: BoxAPIError, place: str) -> HaulageError:
    answer = error.response_info
    if answer.status_code >= _FIRST_SERVER_FAULT:
        return StorageUnavailableError(f"{place}: Box failed with status {answer.status_code}")
    if answer.status_code == _TOO_MANY:
        return StorageUnavailableError(f"{place}: Box asks for fewer calls", retry_after_s=_wait_s(answer.headers))
    if answer.code in _FULL:
        return StorageFullError(f"{place}: the Box account has no room")
    if answer.status_code == _CONFLICT:
        return NameTakenError(f"{place} was written by somebody else meanwhile", _conflict(answer.context_info))
    if answer.status_code == _CHANGED:
        return ReplacedMeanwhileError(f"{place} was written by somebody else meanwhile")
    return _of_refusal(answer.status_code, str(answer.code or ""), answer.body or {}, place)


def _of_refusal(status: int, code: str, body: dict[str, Any], place: str) -> StorageError:
    if status == 401 or "error_description" in body or "error" in body:  # noqa: PLR2004 - the latter are OAuth's
        return StorageError(f"{place}: {_CREDENTIALS}")
    if status == 403:  # noqa: PLR2004
        return StorageError(f"{place}: {_RIGHTS}")
    if status in _GONE:
        return GoneError(
            f"{place}: there is no such folder for the app. Check folder_id, and invite its account to it."
        )
    if code in _REFUSED_NAMES:
        return StorageError(f"{place}: Box does not accept the name. Choose another path.")
    return StorageError(f"{place}: Box refused with status {status} {code}".rstrip())


def _conflict(context: Any) -> Conflict | None:
    """One thing for files, a list of them for folders."""
    found = context.get("conflicts") if isinstance(context, dict) else None
    first = found[0] if isinstance(found, list) and found else found
    if not isinstance(first, dict) or not first.get("id"):
        return None
    return Conflict(*(str(first.get(name) or "") for name in ("type", "id", "etag", "sha1")))


def _wait_s(headers: dict[str, str]) -> float:
    text = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    try:
        return float(text)
    except ValueError:
        return _DEFAULT_WAIT_S
