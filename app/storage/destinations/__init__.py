"""Places of customers that finished outputs are pushed to. One module a kind; their libraries load at the first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from app.storage.destinations.model import Destination, Given

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Destination", "Given", "open_destination"]

_MODULES = {
    "s3": "s3",
    "gcs": "gcs",
    "azure": "azure",
    "sftp": "sftp",
    "file": "files",
    "box": "box",
    "dropbox": "dropbox",
}
"""Kind of destination, as connectors declare it -> module here. Each has a function `make(given) -> Destination`."""


def open_destination(kind: str, given: Given) -> Destination:
    """The place that an instance's settings name. Calls nobody.

    Raises InvalidInputError that names the setting, AddressRefusedError for a private address.
    """
    make: Callable[[Given], Destination] = import_module(f"{__name__}.{_MODULES[kind]}").make
    return make(given)
