"""Which callback URLs a submission may name."""

import socket
import threading
from unittest.mock import Mock

import pytest

from app.addresses import AddressPolicy
from app.callbacks import urls
from app.callbacks.urls import NameUnknownError, check_url, resolve_name
from app.errors import InvalidInputError, TransientError

PUBLIC = AddressPolicy()
LOOPBACK = AddressPolicy.parse("http://127.0.0.0/8:8001")


def resolver(*addresses: str, asked: list[tuple[str, int]] | None = None) -> "FakeResolver":
    return FakeResolver(list(addresses), asked if asked is not None else [])


class FakeResolver:
    def __init__(self, addresses: list[str], asked: list[tuple[str, int]]) -> None:
        self._addresses = addresses
        self._asked = asked

    def __call__(self, host: str, port: int) -> list[str]:
        self._asked.append((host, port))
        return self._addresses


def refusal(url: str, policy: AddressPolicy = PUBLIC, *addresses: str) -> str:
    with pytest.raises(InvalidInputError) as caught:
        check_url(policy, url, resolve=resolver(*(addresses or ("93.184.215.14",))))
    assert caught.value.field == "notificationUrl"
    assert "notificationUrl" in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("url", ["https://example.com", "https://example.com/a?b=c", "HTTPS://EXAMPLE.com:8443/a"])
def test_a_public_https_url_is_accepted(url: str) -> None:
    check_url(PUBLIC, url, resolve=resolver("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"))


def test_an_allowed_private_address_is_accepted() -> None:
    check_url(LOOPBACK, "http://127.0.0.1:8001/cb", resolve=resolver())
    check_url(LOOPBACK, "http://receiver.internal:8001/cb", resolve=resolver("127.0.0.5"))


@pytest.mark.parametrize("url", ["/formulas/instances/1/executions", "callback", "", "?a=b"])
def test_a_relative_url_is_refused(url: str) -> None:
    assert "is relative; an absolute URL" in refusal(url)


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "file:///etc/passwd", "javascript:alert(1)", "http:", "mailto:a@b"]
)
def test_other_schemes_are_refused(url: str) -> None:
    assert "an absolute URL such as https://" in refusal(url)


@pytest.mark.parametrize("url", ["https://user:pass@example.com/", "https://user@example.com/"])
def test_a_user_name_is_refused_and_not_repeated(url: str) -> None:
    message = refusal(url)
    assert "user name" in message
    assert "pass" not in message


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/", "https://[::1]/", "https://0x7f.1/", "https://2130706433/", "https://169.254.169.254/"]
)
def test_a_private_address_is_refused_without_asking_the_resolver(url: str) -> None:
    asked: list[tuple[str, int]] = []
    with pytest.raises(InvalidInputError):
        check_url(PUBLIC, url, resolve=resolver("93.184.215.14", asked=asked))
    assert asked == []


def test_a_name_with_any_private_address_is_refused_and_the_setting_is_named() -> None:
    assert "HAULAGE_ALLOW_NETWORKS" in refusal("https://example.com/", PUBLIC, "93.184.215.14", "10.0.0.1")


def test_a_metadata_address_is_refused_even_where_everything_is_allowed() -> None:
    everything = AddressPolicy.parse("http://0.0.0.0/0")
    assert "metadata" in refusal("http://metadata.internal/", everything, "169.254.169.254")


def test_plain_http_and_odd_ports_are_refused() -> None:
    assert "https" in refusal("http://example.com/")
    assert "443" in refusal("https://example.com:22/")


def test_a_name_without_an_address_is_refused() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise NameUnknownError(host)

    with pytest.raises(InvalidInputError, match=r"'nowhere\.example' has no address"):
        check_url(PUBLIC, "https://nowhere.example/cb?key=secret", resolve=unknown)


def test_a_resolver_that_is_down_is_not_the_callers_mistake() -> None:
    def down(host: str, port: int) -> list[str]:
        raise TransientError("down")

    check_url(PUBLIC, "https://example.com/", resolve=down)


def test_a_url_may_have_2000_characters() -> None:
    longest = "https://example.com/".ljust(2000, "a")
    check_url(PUBLIC, longest, resolve=resolver("93.184.215.14"))
    assert "2001 characters; up to 2000" in refusal(longest + "a")


@pytest.mark.parametrize(
    "url", ["https://[::1", "https://example.com:port/", "https://exa mple.com/", "https://ex\n.com"]
)
def test_a_broken_url_is_refused(url: str) -> None:
    refusal(url)


@pytest.mark.parametrize("url", ["https://10.0.0.1/P4TH?key=QU3RY", "ftp://example.com/P4TH?key=QU3RY", "/x?key=QU3RY"])
def test_a_refusal_repeats_no_secret(url: str) -> None:
    message = refusal(url)
    assert "QU3RY" not in message
    assert "P4TH" not in message


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), NameUnknownError),
        (UnicodeError("label too long"), NameUnknownError),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), TransientError),
        (socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"), TransientError),
        (OSError("too many open files"), TransientError),
    ],
)
def test_an_unknown_name_is_told_from_a_resolver_that_fails(
    monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=error))
    with pytest.raises(raised):
        resolve_name("example.com", 443)


def test_every_address_of_a_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 443)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2606:2800::1", 443, 0, 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", Mock(return_value=answers))
    assert resolve_name("example.com", 443) == ["93.184.215.14", "2606:2800::1"]


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait() and [])
    monkeypatch.setattr(urls, "_RESOLVE_S", 0.01)
    with pytest.raises(TransientError):
        resolve_name("example.com", 443)
    answered.set()
