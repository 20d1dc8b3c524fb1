"""Answers of servers that customers name, which may be anything."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from urllib3.connection import HTTPConnection

from app.errors import StorageError

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
