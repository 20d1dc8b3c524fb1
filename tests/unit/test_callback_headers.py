"""Headers and credentials that an instance adds to its callbacks: what is read, what is refused and how it is told."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.callback_headers import basic_authorization, has_authorization, parse_headers

NAMES = st.from_regex(r"X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=50)
HEADERS = st.dictionaries(NAMES, VALUES, max_size=5).filter(
    lambda found: len({name.lower() for name in found}) == len(found)
)
SECRET = "s3cr3t-value"


@given(HEADERS)
def test_both_forms_say_the_same(headers: dict[str, str]) -> None:
    lines = "\r\n".join(f"{name}: {value}" for name, value in headers.items())
    assert parse_headers(json.dumps(headers)) == parse_headers(lines) == list(headers.items())


def test_lines_may_be_indented_and_values_may_hold_colons() -> None:
    assert parse_headers(" X-A:b:c \n\n  Authorization: Bearer x\n") == [("X-A", "b:c"), ("Authorization", "Bearer x")]
    assert parse_headers("") == []


@pytest.mark.parametrize(
    "name",
    [
        "Host", "content-LENGTH", "Content-Type", "Transfer-Encoding", "Connection", "Keep-Alive", "TE", "Trailer",
        "Upgrade", "Proxy-Authorization", "Proxy-Connection", "Expect", "User-Agent", "Accept-Encoding",
        "webhook-id", "Webhook-Signature", "Elements-Webhook-Signature", "Elements-Anything", "Content-Encoding",
    ],
)  # fmt: skip
def test_names_of_ours_and_of_the_connection_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="set by Haulage or by the connection") as refused:
        parse_headers(f"{name}: {SECRET}")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"no colon {SECRET}", "line 1 has no colon"),
        (f"X A: {SECRET}", "no name of a header"),
        (f": {SECRET}", "no name of a header"),
        (f"X-A: {SECRET}\nx-a: {SECRET}", "'x-a' is there twice"),
        (f"X-A: {SECRET}ä", "other characters than printable ASCII"),
        (f'{{"X-A": "{SECRET}\\r\\nX-B: c"}}', "other characters than printable ASCII"),
        (f'{{"X-A": ["{SECRET}"]}}', "no JSON object of texts"),
        (f'{{"X-A": "{SECRET}"', "no JSON object of texts"),
        (f'{{"X-A": "{SECRET}", "x-A": "b"}}', "'x-a' is there twice"),
        ("\n".join(f"X-{number}: {SECRET}" for number in range(21)), "21 headers; up to 20"),
        ("X-A: " + SECRET * 400, "characters; up to 4000"),
    ],
)
def test_what_cannot_be_sent_is_refused_without_its_value(text: str, told: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is looked at below
        parse_headers(text)
    assert told in str(refused.value)
    assert SECRET not in str(refused.value)


@given(st.text())
def test_whatever_is_given_either_is_read_or_refused(text: str) -> None:
    try:
        headers = parse_headers(text)
    except ValueError:
        return
    assert not any(sign in name + value for name, value in headers for sign in "\r\n\0")


@pytest.mark.parametrize("password", ["", "open:sesame", "Zoë"])
def test_credentials_are_those_of_rfc_7617(password: str) -> None:
    name, value = basic_authorization("acme", password)
    assert name == "Authorization"
    assert base64.b64decode(value.removeprefix("Basic ")).decode() == f"acme:{password}"
    assert has_authorization([("authorization", "x")])
    assert not has_authorization([("X-A", "x")])


@pytest.mark.parametrize(("user", "password"), [("a:b", "x"), ("", "x"), ("a\r", "x"), ("a", "x\ny")])
def test_what_is_no_credential_is_refused(user: str, password: str) -> None:
    with pytest.raises(ValueError, match="is accepted"):
        basic_authorization(user, password)
