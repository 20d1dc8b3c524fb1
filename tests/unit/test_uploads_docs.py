"""docs/uploads.md names every option, verdict and setting of uploads."""

from dataclasses import fields

import pytest

from app.api.bulk_schemas import FailedRowSchema, RetrySchema
from app.api.upload_schema import ABOUT_NAMES
from app.config import Settings
from app.domain.uploads import RowVerdict, UploadAction
from app.local.procfile import CHECKOUT

GUIDE = (CHECKOUT / "docs" / "uploads.md").read_text()
SETTINGS = [spec.metadata["env"] for spec in fields(Settings) if spec.name.startswith(("upload_", "mask_"))]


@pytest.mark.parametrize("name", [*ABOUT_NAMES, *UploadAction, *RowVerdict])
def test_it_names(name: str) -> None:
    assert f"`{name}`" in GUIDE


@pytest.mark.parametrize("name", [*FailedRowSchema().fields, *RetrySchema().fields, *SETTINGS])
def test_it_shows(name: str) -> None:
    assert name in GUIDE
