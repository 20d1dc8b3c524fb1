import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigError
from app.secrets import Vault, generate_encryption_key

OLD, NEW = generate_encryption_key(), generate_encryption_key()


@given(st.dictionaries(st.text(), st.text() | st.integers(-(2**53), 2**53) | st.booleans() | st.none()))
def test_what_was_sealed_opens_again(mapping: dict[str, object]) -> None:
    vault = Vault((OLD,))

    assert vault.open(1, 2, vault.seal(1, 2, mapping)) == mapping


def test_the_sealed_form_tells_nothing() -> None:
    sealed = Vault((OLD,)).seal(1, 2, {"password": "open sesame"})

    assert b"sesame" not in sealed
    assert b"password" not in sealed


@pytest.mark.parametrize("owner", [(2, 2), (1, 3)])
def test_secrets_cannot_be_moved_to_another_row_or_tenant(owner: tuple[int, int]) -> None:
    vault = Vault((OLD,))

    with pytest.raises(ConfigError, match="belong to another"):
        vault.open(*owner, vault.seal(1, 2, {"a": "b"}))


def test_rotation_brings_everything_under_the_first_key() -> None:
    sealed = Vault((OLD,)).seal(1, 2, {"a": "b"})

    resealed = Vault((NEW, OLD)).reseal(sealed)

    assert resealed is not None
    assert Vault((NEW,)).open(1, 2, resealed) == {"a": "b"}
    assert Vault((NEW, OLD)).reseal(resealed) is None


def test_a_missing_key_is_a_setting_to_repair() -> None:
    sealed = Vault((OLD,)).seal(1, 2, {"a": "b"})

    with pytest.raises(ConfigError, match="HAULAGE_ENCRYPTION_KEYS"):
        Vault((NEW,)).open(1, 2, sealed)
    with pytest.raises(ConfigError, match="HAULAGE_ENCRYPTION_KEYS"):
        Vault((NEW,)).reseal(sealed)


@pytest.mark.parametrize("keys", [(), ("not a key",), (OLD, "c2hvcnQ=")])
def test_a_bad_key_is_refused_without_showing_it(keys: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="HAULAGE_ENCRYPTION_KEYS") as caught:
        Vault(keys)

    assert not any(key in str(caught.value) for key in keys)
