"""The worker with durability off: nothing is synced to disk (with HAULAGE_CHECKPOINT_S out of reach, nothing commits).

Only to tell durability's price: `celery -A tests.benchmarks.undurable worker`.
"""

import os

from workers.celery_app import celery

__all__ = ["celery"]


def _no_sync(_file: int) -> None:
    return None


os.fsync = _no_sync  # type: ignore[assignment]
os.fdatasync = _no_sync  # type: ignore[assignment]
