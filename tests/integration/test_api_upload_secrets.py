"""Values of columns and members that are named like a password, in rows that could not be read."""

import pytest

from tests.fakes.upload_door import UploadDoor

SECRET = "geheim-1"
UNREADABLE = [
    pytest.param("ann@x.test,old,geheim-1", id="a cell of the wrong type"),
    pytest.param("ann@x.test,geheim-1,7", id="a secret in another column"),
    pytest.param("ann@x.test,7,geheim-1,more", id="a cell too many"),
    pytest.param('ann@x.test,7,"geheim-1"x', id="a broken quote"),
    pytest.param("ann@x.test,7,geheim-1\0", id="a NUL"),
    pytest.param("ann@x.test,7,geheim-1\udcff", id="a byte that is no UTF-8"),
]


@pytest.mark.parametrize("name", ["password", "login.apiKey", "client_secret.value"])
@pytest.mark.parametrize("row", UNREADABLE)
def test_a_csv_row_that_cannot_be_read_shows_no_secret(uploads: UploadDoor, row: str, name: str) -> None:
    job_id = uploads.ended(f"email,age,{name}\n{row}\n".encode(errors="surrogateescape"))

    (item,) = uploads.errors(job_id)
    assert SECRET not in str(item)
    assert (item["excerpt"], item["record"]) == ("********", None)
    assert SECRET.encode() not in bytes(uploads.rows(job_id)[0]["record"])
    assert SECRET not in uploads.rows(job_id)[0]["detail"]


def test_nor_does_json_that_is_no_object(uploads: UploadDoor) -> None:
    job_id = uploads.ended(b'{"email": "a@x.test"}\n["password", "geheim-1"]\n', format="json")
    (item,) = uploads.errors(job_id)
    assert SECRET not in str(item)


@pytest.mark.parametrize("cell", ['it\'s "7" here', "it's geheim", 'say "geheim"', "\\'", "'" * 60])
def test_quoted_values_are_masked_whatever_quotes_they_hold(uploads: UploadDoor, cell: str) -> None:
    escaped = cell.replace('"', '""')
    job_id = uploads.ended(f'email,age\nann@x.test,"{escaped}"\n'.encode())
    uploads.engine.configure(mask_row_values="yes")

    (item,) = uploads.errors(job_id)
    assert (
        item["status"]
        == "field '********': '********' is not of type integer; accepted: digits, with or without a sign"
    )
