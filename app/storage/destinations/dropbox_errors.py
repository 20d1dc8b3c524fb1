"""What Dropbox and its SDK raise, as errors of ours. Texts of theirs are not shown: some repeat the access token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dropbox.exceptions import (
    ApiError,
    AuthError,
    BadInputError,
    DropboxException,
    HttpError,
    PathRootError,
    RateLimitError,
)
from requests.exceptions import InvalidHeader, RequestException  # noqa: TID251 - what the SDK lets through
from stone.backends.python_rsrc.stone_base import Union
from stone.backends.python_rsrc.stone_validators import ValidationError

from app.errors import HaulageError, ObjectMissingError, StorageError, StorageFullError, StorageUnavailableError
from app.storage.destinations.model import ReplacedMeanwhileError

_FIRST_SERVER_FAULT = 500
_DEFAULT_WAIT_S = 5.0
_FULL = {"insufficient_space", "team_folder_insufficient_space", "member_folder_insufficient_space"}
_PASSING = {"too_many_write_operations", "incorrect_offset", "closed", "content_hash_mismatch"}
_SESSION_CALLS = {"UploadSessionAppendError", "UploadSessionLookupError"}
_CREDENTIALS = {
    "invalid_access_token": "Dropbox refuses the credentials. Check the tokens, app_key and app_secret.",
    "expired_access_token": "the access_token has expired. Give a refresh_token with app_key and app_secret instead.",
    "invalid_select_user": "team_member_id names no member of the team that the token is for.",
    "user_suspended": "the user of the token is suspended.",
}
_REFUSED = {
    "malformed_path": "Dropbox does not accept the path. Check prefix and path.",
    "disallowed_name": "Dropbox does not accept the name. Choose another path.",
    "restricted_content": "Dropbox has restricted the file. Choose another path.",
    "no_write_permission": "the user of the token may not write here. Check prefix and the rights of the user.",
    "access_restricted": "an administrator of the team forbids this. Ask one.",
    "team_folder": "a team folder cannot be changed in this way. Choose a prefix below it.",
    "operation_suppressed": "Dropbox does not allow this here. Choose another prefix.",
    "upload_traffic_limit_reached": "the account has used up its upload traffic of this month.",
    "folder": "a folder has that name. Choose another path.",
    "file_ancestor": "one of the folders of the path is a file. Choose another path.",
    "not_file": "it is a folder. Choose another path.",
    "too_large": "it is larger than the 2 TiB that Dropbox takes.",
}


class MissingScopeError(StorageError):
    """The app was not given a permission."""

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.scope = scope


class OffsetError(StorageUnavailableError):
    """The session has another length than was said."""

    def __init__(self, message: str, correct_offset: int) -> None:
        super().__init__(message)
        self.correct_offset = correct_offset


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raises the errors that `Destination` promises, ReplacedMeanwhileError, ObjectMissingError and the above."""
    try:
        yield
    except DropboxException as error:
        raise _of_answer(error, place) from None
    except InvalidHeader:
        raise StorageError(f"{place}: a token, an id or a key has a character that HTTP does not take") from None
    except RequestException as error:
        raise StorageUnavailableError(f"{place}: Dropbox cannot be reached ({type(error).__name__})") from None
    except (AssertionError, KeyError, ValueError, ValidationError):  # the SDK takes answers for granted
        raise StorageUnavailableError(f"{place}: the answer is none that Dropbox documents") from None


def _of_answer(error: DropboxException, place: str) -> HaulageError:
    if isinstance(error, ApiError):
        return _of_api_error(error.error, place)
    if isinstance(error, AuthError):
        return _of_credentials(error.error, place)
    if isinstance(error, RateLimitError):
        wait_s = _DEFAULT_WAIT_S if error.backoff is None else float(error.backoff)
        return StorageUnavailableError(f"{place}: Dropbox asks for fewer calls", retry_after_s=wait_s)
    if isinstance(error, PathRootError):
        return StorageError(f"{place}: namespace_id is not one that the user of the token can see")
    if isinstance(error, BadInputError):
        return StorageError(
            f"{place}: Dropbox does not accept the call. Check app_key, app_secret, refresh_token, access_token, "
            "namespace_id and team_member_id."
        )
    return _of_status(error.status_code if isinstance(error, HttpError) else 0, place)


def _of_status(status: int, place: str) -> HaulageError:
    if 0 < status < _FIRST_SERVER_FAULT:
        return StorageError(f"{place}: Dropbox refused with status {status}")
    return StorageUnavailableError(f"{place}: Dropbox failed with status {status}")


def _of_credentials(error: Any, place: str) -> StorageError:
    tag = (_tags(error) or ["other"])[0]
    if tag == "missing_scope":
        scope = str(error.get_missing_scope().required_scope)
        message = f"{place}: the app lacks the permission {scope}. Add it in the App Console and authorise it anew."
        return MissingScopeError(message, scope)
    return StorageError(f"{place}: {_CREDENTIALS.get(tag, _CREDENTIALS['invalid_access_token'])}")


def _of_api_error(error: Any, place: str) -> HaulageError:
    tags = _tags(error)
    last = tags[-1] if tags else "other"
    if "incorrect_offset" in tags:
        return OffsetError(f"{place}: the upload session has another length", _innermost(error).correct_offset)
    if "conflict" in tags and last in {"conflict", "file", "other"}:
        return ReplacedMeanwhileError(f"{place} was written by somebody else meanwhile")
    if last == "not_found":
        return _of_missing(place, is_session="lookup_failed" in tags or type(error).__name__ in _SESSION_CALLS)
    if last in _FULL:
        return StorageFullError(f"{place}: the Dropbox has no room")
    if last in _PASSING:
        return StorageUnavailableError(f"{place}: Dropbox cannot take it now ({last})")
    return StorageError(f"{place}: {_REFUSED.get(last) or 'Dropbox refused: ' + '/'.join(tags)}")


def _of_missing(place: str, *, is_session: bool) -> HaulageError:
    """A session that is not there was finished, or is older than a week: the push begins anew."""
    if is_session:
        return StorageUnavailableError(f"{place}: the upload session is not there any more")
    return ObjectMissingError(f"{place}: there is no such file")


def _tags(error: Any) -> list[str]:
    """`path/conflict/file` of unions in unions, outermost first."""
    tags = []
    while isinstance(error, Union):
        tags.append(error._tag)  # noqa: SLF001 - the only way to ask for any tag
        error = error._value  # noqa: SLF001
    return tags


def _innermost(error: Any) -> Any:
    while isinstance(error, Union):
        error = error._value  # noqa: SLF001
    return error
