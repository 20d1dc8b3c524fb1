import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.paging import decode_token, encode_token
from app.errors import InvalidInputError


@given(st.integers(1, 5000), st.integers(0, 2**31 - 1))
def test_a_token_is_unpadded_base64url_of_compact_json(size: int, after: int) -> None:
    content = {"pageSize": size, "after": after}
    token = encode_token(content)

    assert "=" not in token
    assert base64.urlsafe_b64decode(token + "==") == json.dumps(content, separators=(",", ":")).encode()
    assert decode_token(token) == content


def test_the_form_is_the_vendors() -> None:
    """Reference 7 gives this very token."""
    assert encode_token({"pageSize": 2, "page": 2}) == "eyJwYWdlU2l6ZSI6MiwicGFnZSI6Mn0"


@given(st.text(max_size=80))
def test_any_other_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInputError, match="nextPage"):
        decode_token(text)


@pytest.mark.parametrize(
    "content",
    [{"pageSize": 0, "after": 1}, {"pageSize": 1}, {"pageSize": 1, "after": -1}, {"pageSize": 1, "after": 2**40}],
)
def test_a_forged_token_is_refused(content: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError, match="nextPage"):
        decode_token(encode_token(content))
