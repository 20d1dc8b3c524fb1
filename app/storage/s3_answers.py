"""What an S3 server's refusal means, whoever asked."""

from __future__ import annotations

from enum import Enum, auto

from botocore.exceptions import ClientError

_MISSING = {"NoSuchKey", "NoSuchUpload", "404", "NotFound"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "EntityTooLarge", "InsufficientCapacity", "507"}
_REFUSED = {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
_PASSING = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "IDPCommunicationError",
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "OperationAborted",
}
_FIRST_SERVER_FAULT = 500
_TOO_MANY = 429


class Answer(Enum):
    NO_BUCKET = auto()
    MISSING = auto()
    """The object or the multipart upload."""
    REFUSED = auto()
    """Credentials, or what they may do."""
    FULL = auto()
    PASSING = auto()
    OTHER = auto()


def answer_of(error: ClientError) -> Answer:
    code, status = code_of(error), status_of(error)
    if code == "NoSuchBucket":
        return Answer.NO_BUCKET
    if code in _MISSING:
        return Answer.MISSING
    if code in _REFUSED:
        return Answer.REFUSED
    if code in _FULL:
        return Answer.FULL
    if code in _PASSING or status == _TOO_MANY or status >= _FIRST_SERVER_FAULT:
        return Answer.PASSING
    return Answer.OTHER


def code_of(error: ClientError) -> str:
    """S3's own, or the status in digits where an answer had no body."""
    code: str = error.response.get("Error", {}).get("Code", "")
    return code


def status_of(error: ClientError) -> int:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status
