"""The HTTP door. Imported first, so that structlog comes without rich, megabytes for coloured tracebacks."""

from app.lean_imports import without

with without("rich"):
    import structlog

__all__ = ["structlog"]
