"""Both signatures of a callback, against vectors and code that are not ours."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from app.domain.signing import SigningKey, elements_signature, format_key, standard_signature

JSON_BODIES = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
PLAIN_KEYS = st.text(min_size=1).filter(lambda text: not text.startswith("whsec_"))


def test_the_vector_of_the_standard_webhooks_specification() -> None:
    key = SigningKey.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = standard_signature([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_elements_signature_of_a_vector_made_with_openssl() -> None:
    # printf '{"id":1}' | openssl dgst -sha256 -hmac s3cret -binary | base64
    assert (
        elements_signature(SigningKey.parse("s3cret"), b'{"id":1}')
        == "sha256=Y92rNNpYOOODVF6ckLQPdKTj2qvF3ZqNSaUYda1LJBg="
    )


@given(st.binary(min_size=24, max_size=64), JSON_BODIES, st.integers(1, 2**31), st.integers(1, 99))
def test_a_standard_key_verifies_with_the_library(entropy: bytes, document: object, job: int, run: int) -> None:
    text = format_key(entropy)
    body = json.dumps(document).encode()
    assert Webhook(text).verify(body, _headers(SigningKey.parse(text), f"msg_{job}_{run}", body)) == document


@given(PLAIN_KEYS, JSON_BODIES)
def test_any_other_key_verifies_with_the_library_by_its_utf8_bytes(text: str, document: object) -> None:
    body = json.dumps(document).encode()
    secret = "whsec_" + base64.b64encode(text.encode()).decode()
    assert Webhook(secret).verify(body, _headers(SigningKey.parse(text), "msg_1_1", body)) == document


@given(st.text(min_size=1) | st.binary(min_size=24, max_size=64).map(format_key), st.binary())
def test_the_elements_signature_is_plain_hmac_over_the_key_as_written(text: str, body: bytes) -> None:
    expected = base64.b64encode(hmac.new(text.encode(), body, hashlib.sha256).digest()).decode()
    assert elements_signature(SigningKey.parse(text), body) == f"sha256={expected}"


@given(PLAIN_KEYS)
def test_both_signatures_use_the_same_bytes_of_a_plain_key(text: str) -> None:
    key = SigningKey.parse(text)
    assert key.elements == key.standard == text.encode()


@pytest.mark.parametrize("text", ["whsec_not base64", "whsec_", "whsec_a", "whsec_äöü"])
def test_a_key_that_only_looks_standard_is_taken_as_text(text: str) -> None:
    assert SigningKey.parse(text).standard == text.encode()


@pytest.mark.parametrize("entropy", [b"x" * 24, b"x" * 25, b"x" * 26])
def test_missing_padding_does_not_matter(entropy: bytes) -> None:
    assert SigningKey.parse(format_key(entropy).rstrip("=")).standard == entropy


def test_while_a_key_rotates_the_old_and_the_new_one_verify() -> None:
    old, new = format_key(b"o" * 32), format_key(b"n" * 32)
    headers = _headers(SigningKey.parse(new), "msg_1_1", b"{}")
    keys = [SigningKey.parse(new), SigningKey.parse(old)]
    headers["webhook-signature"] = standard_signature(keys, "msg_1_1", int(headers["webhook-timestamp"]), b"{}")
    for text in (old, new):
        assert Webhook(text).verify(b"{}", headers) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(format_key(b"?" * 32)).verify(b"{}", headers)


def test_a_changed_body_id_or_time_does_not_verify() -> None:
    text = format_key(b"k" * 32)
    headers = _headers(SigningKey.parse(text), "msg_1_1", b"[1]")
    later = str(int(headers["webhook-timestamp"]) + 1)
    for body, change in ((b"[2]", {}), (b"[1]", {"webhook-id": "msg_1_2"}), (b"[1]", {"webhook-timestamp": later})):
        with pytest.raises(WebhookVerificationError):
            Webhook(text).verify(body, {**headers, **change})


def test_a_key_is_not_shown_by_repr() -> None:
    assert "s3cret" not in repr(SigningKey.parse("s3cret"))


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        SigningKey.parse("")


def _headers(key: SigningKey, event_id: str, body: bytes) -> dict[str, str]:
    timestamp = int(datetime.now(UTC).timestamp())
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": standard_signature([key], event_id, timestamp, body),
    }
