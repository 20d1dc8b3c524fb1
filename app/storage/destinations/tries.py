"""Few quick tries of one call: what lasts is for the whole push to be repeated, with its longer waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from app.errors import StorageUnavailableError

PAUSES_S = (0.2, 0.8)
"""Before the second try, and the third."""

_T = TypeVar("_T")


class NotNowError(StorageUnavailableError):
    """A passing fault that a try at once would not pass: nothing came within the time limit, or an upload is gone."""


def few_tries(call: Callable[[], _T]) -> _T:
    """What the call returns, at the third try at the latest. It must be one that may be made twice."""
    for pause_s in PAUSES_S:
        try:
            return call()
        except NotNowError:
            raise
        except StorageUnavailableError:
            time.sleep(pause_s)
    return call()
