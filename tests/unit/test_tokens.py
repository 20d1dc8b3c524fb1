import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.tokens import TokenKind, hash_of, hint_of, is_ours, mint


@pytest.mark.parametrize("kind", TokenKind)
def test_a_token_names_its_kind_and_carries_a_checksum(kind: TokenKind) -> None:
    token = mint(kind)

    assert token.startswith(kind.value)
    assert is_ours(token)
    assert len(token) - len(kind.value) - 6 >= 27, "27 characters of base 62 are 160 bits"


def test_no_token_comes_twice() -> None:
    assert len({mint(TokenKind.USER) for _ in range(1000)}) == 1000


@given(st.integers(min_value=0, max_value=43), st.sampled_from("abcXYZ019"))
def test_a_mistyped_token_is_noticed(place: int, letter: str) -> None:
    token = mint(TokenKind.USER)
    changed = token[:place] + letter + token[place + 1 :]

    assert is_ours(changed) == (changed == token)


@given(st.text(max_size=60))
def test_any_text_can_be_checked_and_hashed(text: str) -> None:
    assert not is_ours(text)
    assert len(hash_of(text.encode(errors="replace").decode())) == 32


def test_the_hint_leaves_the_secret_a_secret() -> None:
    token = mint(TokenKind.USER)

    assert token.startswith(hint_of(token))
    assert len(hint_of(token)) - len(TokenKind.USER.value) <= 4
