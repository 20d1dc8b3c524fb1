"""Worker processes and the sweeper. They import this first: libraries come without what nobody asked them to load.

rich is megabytes for coloured tracebacks, psutil for a memory log of Celery's, PyYAML for messages in YAML, which
nobody sends, cffi for what billiard does by ctypes as well.
"""

from app.lean_imports import without

with without("rich", "psutil", "yaml", "cffi"):
    import billiard.util
    import celery.utils.debug
    import kombu.serialization
    import structlog

__all__ = ["billiard", "celery", "kombu", "structlog"]
