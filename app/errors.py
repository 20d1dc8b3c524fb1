"""The errors of the product, sorted by what the caller does next.

Third-party exceptions are translated into one of these once, in the adapter that saw them. Messages are written
for a person: they name the field or place, the value and what would be accepted, and never carry a secret.
"""

from __future__ import annotations


class HaulageError(Exception):
    """Any error of ours. The message may be shown to a user."""

    @property
    def message(self) -> str:
        """The text for a person."""
        return str(self)


class InvalidInputError(HaulageError):
    """The request can never succeed as it is (400). `field` is a JSON Pointer or parameter name, empty if none."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class UnauthorizedError(HaulageError):
    """No or wrong credentials (401)."""


class ForbiddenError(HaulageError):
    """Known caller, but not allowed (403)."""


class NotFoundError(HaulageError):
    """No such thing for this tenant: a foreign id answers exactly so too (404)."""


class ConflictError(HaulageError):
    """The thing's state forbids it now (409)."""


class GoneError(HaulageError):
    """It was there and its retention is over (410)."""


class NotAcceptableError(HaulageError):
    """The wanted representation is not offered."""


class PayloadTooLargeError(HaulageError):
    """The body is over the limit (413)."""


class IdempotencyMismatchError(HaulageError):
    """The same Idempotency-Key came with another body (422)."""


class ConfigError(HaulageError):
    """A connector, an instance or a setting is wrong; trying again changes nothing until somebody edits it."""


class AddressRefusedError(HaulageError):
    """A user-given address is private or otherwise not allowed; the message names the setting that would allow it."""


class TransientError(HaulageError):
    """Worth trying again, after `retry_after_s` where the other side said so."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DatabaseUnavailableError(TransientError):
    """PostgreSQL cannot be reached; nothing was decided."""


class CommitInDoubtError(TransientError):
    """The connection died around COMMIT: the effect may or may not stand. Look before doing it again."""


class BrokerUnavailableError(TransientError):
    """The broker cannot be reached. Harmless: messages are only hints."""


class StorageUnavailableError(TransientError):
    """The object store did not answer or answered with a passing fault."""


class StorageFullError(TransientError):
    """The object store has no room. Nothing was written; work resumes when there is room."""


class StorageError(HaulageError):
    """The object store refuses for good: missing bucket, refused credentials, damaged object."""


class TooManyColumnsError(StorageError):
    """The records have more different fields than a CSV row may; they can be had as JSON."""


class ObjectMissingError(StorageError):
    """The named object is not in the store."""


class LostClaimError(HaulageError):
    """Somebody else holds the slice now, or the job was ended: drop everything and leave."""


class StopRequestedError(HaulageError):
    """Stop asked from outside (deploy, cancel, lost lease): hand back politely."""
