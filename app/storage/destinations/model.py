"""What every destination can do: take an output whole or not at all, and forget what a dead writer left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.addresses import AddressPolicy
from app.errors import HaulageError, TransientError
from app.storage.destinations.stored import StoredOutput

Note = Callable[[str], None]
"""Remembers, for good, what a sweep needs to find what a writer has begun there; see `Destination.discard`."""


@dataclass(frozen=True)
class Given:
    """What an instance and the operator give a destination. Nothing of it may be logged."""

    config: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    policy: AddressPolicy
    """Every address that is dialled passes it; those of the providers' own public endpoints do by themselves."""
    local_root: Path | None = None
    """The folder below which `file` instances may write; None: nowhere."""


class ReplacedMeanwhileError(TransientError):
    """Somebody wrote the object between `Writing.state` and `publish`: nothing was published. Ask again."""


class NotComposedError(HaulageError):
    """The other side does not put the pieces together by itself: what was begun is to be discarded, and sent."""


class Destination(ABC):
    """A place of a customer's. Cheap to make; used by one thread at a time.

    Every method raises StorageUnavailableError (passing fault), StorageFullError (no room), StorageError (refused for
    good; the message says what to check) or AddressRefusedError. Messages name place and path, never a secret. No
    method sleeps for more than seconds, and every call ends.
    """

    place: str
    """For people: `s3://bucket/prefix/`."""

    @abstractmethod
    def check(self) -> None:
        """Write a small object below the prefix, read it back where reading is allowed, and delete it."""

    @abstractmethod
    def begin(self, path: str, *, nonce: str, most_bytes: int, note: Note) -> Writing:
        """Begin to write an object.

        `path`: below the prefix, with `/` between names, checked by `checked_key`. `nonce`: 16 hexadecimal digits of
        this attempt alone, for names of temporary objects. `most_bytes`: the object will surely not be longer. `note`
        is called, and has returned, before the first byte of the output leaves: with what the other side calls the
        unfinished upload, where it has a name of its own.
        """

    def compose(self, path: str, *, nonce: str, output: StoredOutput, note: Note) -> Composing | None:  # noqa: ARG002
        """As `begin`, for an output whose bytes the other side has already; calls nobody. None: it must be sent."""
        return None

    @abstractmethod
    def discard(self, path: str, *, nonce: str, notes: Sequence[str]) -> None:
        """Remove what an attempt left unfinished, known by its nonce and what it noted; nothing there is fine.

        What it published stays. Its writer is dead, or fails from now on.
        """

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give back connections."""


class Unpublished(ABC):
    """One object under way. Until `publish` returns no reader sees any of it, and what was there before stays."""

    @abstractmethod
    def state(self) -> Any:
        """What is at the path now (None: nothing), as far as the other side can compare it when it publishes."""

    @abstractmethod
    def publish(self, state: Any) -> None:
        """Make the object appear, whole, in place of what is there.

        Where the other side can, only if that still is `state`. Raises ReplacedMeanwhileError if it is not: then it may
        be called again with another state. May take minutes for large objects.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Stop and remove what was begun, as far as the other side can be reached. Raises nothing; may be called twice,
        also after `publish`.
        """


class Writing(Unpublished):
    """An object whose bytes are sent."""

    @abstractmethod
    def write(self, chunk: bytes) -> None:
        """Take the next bytes, of any length; parts may be sent beside the caller, who learns of a failure later."""

    def finish(self) -> Iterator[int]:
        """No more bytes come: send those that are still here, piece by piece, and yield the length of each, so that
        the caller can say that it lives, or stop. What it leaves, or all where nobody calls it, `publish` sends.
        Raises as `write` does.
        """
        return iter(())


class Composing(Unpublished):
    """An object that the other side makes of objects which it has. `publish`, too, may raise NotComposedError."""

    @abstractmethod
    def compose(self) -> Iterator[int]:
        """Have it made, and yield the length of what was added, step by step, so that the caller can say that it
        lives, or stop. Raises NotComposedError where the other side refuses, as by not letting these credentials read.
        """
