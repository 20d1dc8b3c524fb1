"""The product's processes, sabotaged.

`python -m workers.main -A tests.fakes.sabotaged` is a worker, `python -m tests.fakes.sabotaged` the sweeper.
"""

from tests.fakes.sabotage import SWEEPER, WORKER, install
from workers import sweeper
from workers.celery_app import celery

__all__ = ["celery"]

install(SWEEPER if __name__ == "__main__" else WORKER)

if __name__ == "__main__":
    sweeper.main()
