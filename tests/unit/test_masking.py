"""Rows are shown with their values, or without them, and never with secrets."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.masking import MASK, shown_record, shown_text

SCALARS = st.one_of(
    st.text(max_size=12), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
NAMES = st.sampled_from(["email", "name", "password", "apiKey", "client_secret", "token", "x"])
VALUES = st.recursive(
    SCALARS | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=9,
)
SECRET = ("password", "apiKey", "client_secret")


def shown(record: dict[str, Any] | bytes, *, is_masked: bool = False) -> Any:
    text = record if isinstance(record, bytes) else json.dumps(record).encode()
    return json.loads(bytes(shown_record(text, is_masked=is_masked)))


def expected(value: Any, *, is_hidden: bool) -> Any:
    if isinstance(value, dict):
        return {name: expected(inner, is_hidden=is_hidden or name in SECRET) for name, inner in value.items()}
    if isinstance(value, list):
        return [expected(inner, is_hidden=is_hidden) for inner in value]
    return MASK if is_hidden and value is not None else value


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.booleans())
def test_what_is_hidden(record: dict[str, Any], is_masked: bool) -> None:
    assert shown(record, is_masked=is_masked) == expected(record, is_hidden=is_masked)


def test_a_record_without_secrets_keeps_its_bytes() -> None:
    record = b'{"price":  1.10, "long": 123456789012345678901234567890, "t": "\\u00e9"}'
    assert bytes(shown_record(record, is_masked=False)) == record


def test_other_numbers_beside_a_secret_keep_their_digits() -> None:
    record = b'{"price": 1.10, "e": 1e400, "long": 123456789012345678901234567890, "secret": 1}'
    assert bytes(shown_record(record, is_masked=False)) == (
        b'{"price":1.10,"e":1e400,"long":123456789012345678901234567890,"secret":"********"}'
    )


@pytest.mark.parametrize("is_masked", [True, False])
def test_what_the_vendor_echoes_is_hidden_too(is_masked: bool) -> None:
    record = b'{"email": "ann@x.test", "age": 7, "password": "geheim-1"}'
    text = shown_text("ann@x.test of age 7 (17) has geheim-1, and gehei", record, is_masked=is_masked)
    values = f"{MASK} of age {MASK} (17)" if is_masked else "ann@x.test of age 7 (17)"
    assert text == f"{values} has {MASK}, and {MASK}"


@pytest.mark.parametrize("is_ascii", [True, False])
def test_what_the_vendor_echoes_in_json_is_hidden_too(is_ascii: bool) -> None:
    record = json.dumps({"password": 'gehé"im  eins'}, ensure_ascii=is_ascii).encode()
    echo = " ".join(json.dumps({"got": json.loads(record)}, ensure_ascii=is_ascii).split())
    assert shown_text(echo, record, is_masked=False) == f'{{"got": {{"password": "{MASK}"}}}}'


@pytest.mark.parametrize("is_masked", [True, False])
def test_a_number_of_many_digits_is_one_too(is_masked: bool) -> None:
    digits = b"-" + b"9" * 5000
    record = b'{"password": "geheim-1", "long": ' + digits + b"}"
    whole = bytes(shown_record(record, is_masked=is_masked))
    assert whole == b'{"password":"********","long":' + (b'"********"' if is_masked else digits) + b"}"
    assert shown_text("no geheim-1", record, is_masked=is_masked) == f"no {MASK}"


def test_a_name_in_escapes_is_a_secret_too() -> None:
    record = b'{"p\\u0061ssword": "geheim-1"}'
    assert shown(record) == {"password": MASK}
    assert shown_text("no geheim-1", record, is_masked=False) == f"no {MASK}"


def test_of_a_row_that_was_not_read_what_is_quoted_is_hidden() -> None:
    text = "field 'age': 'old' is not of type integer"
    assert shown_text(text, None, is_masked=False) == text
    assert shown_text(text, None, is_masked=True) == f"field '{MASK}': '{MASK}' is not of type integer"


@given(st.text(min_size=1, max_size=300), st.text(max_size=50))
def test_no_value_survives_in_a_text_that_was_cut(value: str, before: str) -> None:
    record = json.dumps({"email": value}).encode()
    text = shown_text(f"{before} {value} is wrong"[:200], record, is_masked=True)
    assert len(value) < 3 or value not in text.replace(MASK, "")


@pytest.mark.parametrize("value", ["it's \"7\" 'x'", "a\\", "\\'", "'", '"', "x" * 300])
@pytest.mark.parametrize("most", [12, 20, 200, 500])
def test_what_is_quoted_of_a_row_is_masked_where_it_was_cut_too(value: str, most: int) -> None:
    text = f"field: {value!r} is wrong"[:most]
    shown = shown_text(text, None, is_masked=True)
    assert shown in {f"field: '{MASK}'", f"field: '{MASK}' is wrong"[: len(shown)]}
