"""What an element says of itself in bulk terms (reference 8) follows from its declaration."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.api.platform_documents import element_document
from app.connectors.spec import digest
from app.db.connectors import StoredConnector

LIST = {"path": "/pets", "records": "", "page": {"kind": "none"}}
CREATE = {"path": "/pets"}


@pytest.mark.parametrize(
    ("pets", "download", "upload"),
    [
        ({"list": LIST}, True, False),
        ({"list": LIST, "create": CREATE}, True, True),
        ({"create": CREATE}, False, True),
        ({"list": LIST, "create": CREATE, "download": False, "upload": False}, False, False),
    ],
)
def test_an_element_says_whether_it_can_be_downloaded_and_uploaded(
    pets: dict[str, Any], download: bool, upload: bool
) -> None:
    document = {
        "format": 1,
        "key": "pets",
        "base_url": "https://pets.test",
        "auth": {"kind": "none"},
        "objects": {"pets": pets},
    }
    now = datetime(2026, 11, 22, tzinfo=UTC)
    stored = StoredConnector(1, None, "pets", now, 1, 1, document, digest(document), now)
    bulk = element_document(stored, with_declaration=False)["bulk"]
    assert (bulk["download"], bulk["upload"]) == (download, upload)
    assert not bulk["vendorSupportNativeBulkUpload"]
