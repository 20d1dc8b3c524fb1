"""The product's processes, sabotaged: `celery -A tests.fakes.sabotaged worker`, `python -m tests.fakes.sabotaged`."""

from tests.fakes.sabotage import install
from workers import sweeper
from workers.celery_app import celery

__all__ = ["celery"]

install()

if __name__ == "__main__":
    sweeper.main()
