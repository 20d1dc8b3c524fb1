"""A callback as it is told: what is masked, and why nothing happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.callback_documents import masked_url
from app.domain.masking import MASK


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example.com/a/b", "https://hooks.example.com/a/b"),
        ("https://hooks.example.com:8443", "https://hooks.example.com:8443"),
        ("https://h.example/a?token=x&b=&flag", f"https://h.example/a?token={MASK}&b={MASK}&{MASK}"),
        ("https://me:pw@h.example/a#frag", f"https://{MASK}@h.example/a"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("https://[bad", MASK),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert masked_url(url) == shown


@given(*(st.from_regex(rf"{kind}-s3cr3t[a-z0-9%:]{{0,20}}", fullmatch=True) for kind in ("user", "value", "fragment")))
def test_no_secret_of_query_user_or_fragment_is_shown(user: str, value: str, fragment: str) -> None:
    shown = masked_url(f"https://{user}:{user}@h.example/path?key={value}&{value}#{fragment}")
    assert shown == f"https://{MASK}@h.example/path?key={MASK}&{MASK}"
