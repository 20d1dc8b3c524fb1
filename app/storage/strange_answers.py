"""Answers that are none: too long, or nothing that a library can read. Servers that customers name may say anything."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from urllib3.connection import HTTPConnection

from app.errors import StorageError, StorageUnavailableError

MOST_ANSWER_BYTES = 16 * 1024 * 1024
"""The longest that a call of a push asks for, a list of 50,000 blocks of Azure's, has half of it."""


class BoundedAnswers(HTTPConnection):
    """Put before the class of a connection of urllib3's: SDKs hold whole answers in memory, however long they are."""

    def getresponse(self) -> Any:
        answer = super().getresponse()
        unbounded = answer.stream

        def stream(*args: Any, **options: Any) -> Generator[bytes, None, None]:
            left = MOST_ANSWER_BYTES
            for piece in unbounded(*args, **options):
                left -= len(piece)
                if left < 0:
                    answer.close()
                    raise StorageError(
                        f"{self.host} answered with more than {MOST_ANSWER_BYTES} bytes, which no call asks for"
                    )
                yield piece

        answer.stream = stream  # type: ignore[method-assign]
        return answer


def nonsense(what: str, error: Exception) -> StorageUnavailableError:
    """For what a library raised because it could not read an answer: any kind of exception.

    A passing fault: a proxy on the way, or a page about maintenance, is the usual cause.
    """
    return StorageUnavailableError(f"{what}: the server's answer makes no sense ({type(error).__name__})")
