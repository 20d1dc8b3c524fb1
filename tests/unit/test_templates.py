"""Filters of placeholders: what a value becomes on its way into a request."""

import pytest
from datasette.utils import tilde_decode
from hypothesis import given
from hypothesis import strategies as st

from app.connectors.templates import parse_template


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_datasette_reads_what_tilde_writes(text: str) -> None:
    written = parse_template("{id|tilde}").render({"": {"id": text}})
    assert tilde_decode(written) == text
    assert set(written) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-~")


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [("tilde", "a~b.c ä", "a~7Eb~2Ec~20~C3~A4"), ("urlencode", "a/b", "a%2Fb"), ("b64", "me:x", "bWU6eA==")],
)
def test_a_filter_writes(name: str, text: str, written: str) -> None:
    assert parse_template(f"{{id|{name}}}").render({"": {"id": text}}) == written
