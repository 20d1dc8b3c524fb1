"""Where next links may lead."""

from __future__ import annotations

import pytest

from app.connectors.faults import PageFault
from app.connectors.links import MAX_LINK_BYTES, link_target, origin_of, resolve_link, with_param, without_params

BASE = "https://api.vendor.test/v1/list?page=1"
HOME = ("https://api.vendor.test",)


def resolve(link: str, origins: tuple[str, ...] = HOME, *, is_rewritten: bool = False, secret: str = "") -> str:
    return resolve_link(
        link, base=BASE, origins=origins, is_rewritten=is_rewritten, secret_params=(secret,) if secret else ()
    )


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("?page=2", "https://api.vendor.test/v1/list?page=2"),
        ("/v1/list?page=2", "https://api.vendor.test/v1/list?page=2"),
        ("more", "https://api.vendor.test/v1/more"),
        ("https://api.vendor.test/x?%24skiptoken=a%2Fb", "https://api.vendor.test/x?%24skiptoken=a%2Fb"),
        ("https://API.vendor.test:443/x", "https://API.vendor.test:443/x"),
        ("?name=J\u00fcrgen K", "https://api.vendor.test/v1/list?name=J%C3%BCrgen%20K"),
        ("?page=2#part", "https://api.vendor.test/v1/list?page=2"),
    ],
)
def test_links_are_resolved_against_the_request(link: str, url: str) -> None:
    assert resolve(link) == url


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.test/x",
        "//evil.test/x",
        "http://api.vendor.test/x",
        "https://api.vendor.test:8443/x",
        "https://user@api.vendor.test/x",
        "https://api.vendor.test@evil.test/x",
        "https://api.vendor.test.evil.test/x",
        "ftp://api.vendor.test/x",
        "javascript:alert(1)",
    ],
)
def test_credentials_are_not_sent_to_a_stranger(link: str) -> None:
    with pytest.raises(PageFault, match=r"credentials go only to https://api\.vendor\.test") as caught:
        resolve(link)
    assert caught.value.is_permanent


def test_a_declared_origin_may_be_followed() -> None:
    assert resolve("https://cdn.vendor.test/x", (*HOME, "https://cdn.vendor.test")) == "https://cdn.vendor.test/x"


def test_another_name_of_the_same_server_is_rewritten_where_declared() -> None:
    assert resolve("http://internal:8080/v1/list?page=2", is_rewritten=True) == "https://api.vendor.test/v1/list?page=2"


def test_a_key_that_the_vendor_echoes_is_not_kept() -> None:
    assert resolve("?a=1&api_key=secret&b=%24", secret="api_key") == "https://api.vendor.test/v1/list?a=1&b=%24"


@pytest.mark.parametrize(
    "link", ["https://[", "https://api.vendor.test:port/", "?a=\ud800", "a" * (MAX_LINK_BYTES + 1)]
)
def test_a_link_that_is_none_is_a_fault(link: str) -> None:
    with pytest.raises(PageFault):
        resolve(link)


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<https://a/?p=2>; rel="next"', "https://a/?p=2"),
        ("<https://a/?p=2>; rel=next", "https://a/?p=2"),
        ('<https://a/1>; rel="prev", <https://a/2>; rel="next last"', "https://a/2"),
        ('<https://a/?a=1,2;3>; title="a, \\"b\\"; rel=next"; rel="NEXT"', "https://a/?a=1,2;3"),
        ('<https://a/1>; rel="prev"', None),
        ("nonsense", None),
        ('<<https://a/1>; rel="next"', "https://a/1"),
        ("<" * 100_000, None),
        ("", None),
    ],
)
def test_link_headers(header: str, target: str | None) -> None:
    assert link_target([header], "next") == target


def test_parameters_are_changed_without_touching_the_others() -> None:
    assert with_param("https://a/?%24x=%2F&size=10&y", "size", "5") == "https://a/?%24x=%2F&size=5&y"
    assert with_param("https://a/?x=1", "size", "5") is None
    assert without_params("https://a/?%24x=%2F&k=1&y&k=2", ["k"]) == "https://a/?%24x=%2F&y"


def test_origins_have_one_spelling() -> None:
    assert origin_of("HTTPS://A.Test:443/x") == origin_of("https://a.test") == "https://a.test"
    assert origin_of("http://[::1]:80/") == "http://[::1]"
