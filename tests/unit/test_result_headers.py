from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.result_headers import disposition


def read_back(header: str) -> str:
    """The file name as an independent reader of RFC 2231 and 5987 takes it."""
    message = Message()
    message["Content-Disposition"] = header
    name = message.get_filename()
    assert name is not None
    return name


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a-1.csv", 'attachment; filename="a-1.csv"'),
        ("2026-03-01 14:05:09_MyJob.csv", 'attachment; filename="2026-03-01 14:05:09_MyJob.csv"'),
        ('a"b.csv', "attachment; filename=\"a_b.csv\"; filename*=UTF-8''a%22b.csv"),
        ("ü%41.csv", "attachment; filename=\"__41.csv\"; filename*=UTF-8''%C3%BC%2541.csv"),
    ],
)
def test_a_name_is_told_in_ascii_and_exactly(name: str, header: str) -> None:
    assert disposition(name) == header


@given(name=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40))
def test_any_name_is_one_line_of_ascii(name: str) -> None:
    header = disposition(name)
    assert header.isascii()
    assert header.isprintable()
    if "filename*" in header:
        exact = header.split("filename*=")[1]
        assert read_back(f"attachment; filename*={exact}") == name
    else:
        assert read_back(header) == name
