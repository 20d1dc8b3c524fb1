"""Which addresses may be called, in every spelling."""

from __future__ import annotations

import pytest

from app.addresses import AddressPolicy
from app.errors import AddressRefusedError, ConfigError

NOBODY = AddressPolicy()
LOOPBACK = AddressPolicy.parse("http://127.0.0.0/8:8001, http://[::1/128]:8001-8010")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0", "0.0.0.0",
        "127.0.0.1.", "localhost", "LOCALHOST", "api.localhost", "localhost.", "10.1.2.3", "172.16.0.1", "192.168.1.1",
        "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "169.254.1.1",
        "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
        "[::ffff:0:169.254.169.254]",
        "[64:ff9b::10.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a00:1::1]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[fc00::1]", "[fd12::1]", "[fe80::1]", "[fec0::1]", "[ff02::1]",
        "[2001:db8::1]", "[3fff::1]", "[100::1]", "[5f00::1]",
    ],
)  # fmt: skip
def test_private_addresses_are_refused_in_every_spelling(host: str) -> None:
    with pytest.raises(AddressRefusedError, match=r"may add .* to HAULAGE_ALLOW_NETWORKS"):
        NOBODY.check_url(f"https://{host}/")


@pytest.mark.parametrize(
    "url", ["https://example.org", "https://example.org:8443/a?b", "https://8.8.8.8/", "https://[2606:4700::1]/"]
)
def test_public_https_is_accepted(url: str) -> None:
    NOBODY.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/", "https://example.org:22/", "https://example.org:0/", "https://example.org:99999/",
        "ftp://example.org/", "file:///etc/passwd", "gopher://x/", "//example.org/", "example.org", "", "https://",
        "https://user@example.org/", "https://user:pass@example.org/", "https://@example.org/",
        "https://example.org\\@evil.test/", "https://exa mple.org/", "https://example.org/\n", "https://ex\u00e4mple.org/",
        "https://example.org%2eevil.test/", "https://[::1", "https://-x.test/", "https://a,b/",
    ],
)  # fmt: skip
def test_urls_that_are_no_plain_public_https_are_refused(url: str) -> None:
    with pytest.raises(AddressRefusedError):
        NOBODY.check_url(url)


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "::ffff:10.0.0.1", "fe80::1%eth0", "64:ff9b::7f00:1", "0.0.0.0"])
def test_a_name_that_resolves_to_a_private_address_is_refused_when_dialled(ip: str) -> None:
    with pytest.raises(AddressRefusedError):
        NOBODY.check_ip(ip, 443, "https")


@pytest.mark.parametrize(("ip", "port"), [("93.184.216.34", 443), ("2606:4700::1", 8443), ("64:ff9b::808:808", 443)])
def test_public_addresses_may_be_dialled(ip: str, port: int) -> None:
    NOBODY.check_ip(ip, port, "https")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8001/",
        "http://[::1]:8010",
        "http://localhost:8001",
        "http://0x7f.1:8001",
        "https://127.5.5.5:8001",
    ],
)
def test_the_allow_list_opens_what_it_names(url: str) -> None:
    LOOPBACK.check_url(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8002/", "http://10.0.0.1:8001/", "http://[::1]:8011/", "http://example.org:9002/"]
)
def test_the_allow_list_opens_nothing_more(url: str) -> None:
    with pytest.raises(AddressRefusedError):
        LOOPBACK.check_url(url)


def test_http_must_be_allowed_by_name() -> None:
    policy = AddressPolicy.parse("10.0.0.0/8:443")
    policy.check_url("https://10.1.1.1/")
    with pytest.raises(AddressRefusedError, match=r"http://10.1.1.1/32:443"):
        policy.check_url("http://10.1.1.1:443/")


def test_a_rule_without_port_opens_every_port() -> None:
    AddressPolicy.parse("10.0.0.0/8").check_ip("10.0.0.1", 9999, "https")


@pytest.mark.parametrize(
    "ip",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
        "192.0.0.192",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_metadata_addresses_stay_closed_even_when_allowed(ip: str) -> None:
    policy = AddressPolicy.parse("http://0.0.0.0/0, http://[::/0]")
    with pytest.raises(AddressRefusedError, match="metadata"):
        policy.check_ip(ip, 80, "http")


@pytest.mark.parametrize(
    "text",
    ["10.0.0.0/33", "nonsense", "10.0.0.0/8:0", "10.0.0.0/8:9-1", "10.0.0.0/8:70000", "https://10.0.0.0/8", "[::1]x"],
)
def test_a_bad_rule_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="HAULAGE_ALLOW_NETWORKS"):
        AddressPolicy.parse(text)


def test_a_refusal_shows_neither_path_nor_query() -> None:
    with pytest.raises(AddressRefusedError) as caught:
        NOBODY.check_url("https://10.0.0.1/secret/path?api_key=secret")
    assert "secret" not in str(caught.value)


def test_the_rule_that_a_refusal_proposes_is_accepted() -> None:
    with pytest.raises(AddressRefusedError) as caught:
        NOBODY.check_url("http://[fd12::1]:8080/")
    AddressPolicy.parse(str(caught.value).partition("may add ")[2].partition(" to ")[0]).check_url(
        "http://[fd12::1]:8080/"
    )


@pytest.mark.parametrize(("host", "port"), [("sftp.example.org", 22), ("8.8.8.8", 22), ("2606:4700::1", 2222)])
def test_sftp_reaches_public_hosts_on_its_ports(host: str, port: int) -> None:
    NOBODY.check_host(host, port, "sftp")


@pytest.mark.parametrize(
    ("host", "port"),
    [("sftp.example.org", 443), ("8.8.8.8", 25), ("10.0.0.1", 22), ("localhost", 22), ("0x7f.1", 22), ("::1", 22)],
)
def test_sftp_reaches_nothing_else(host: str, port: int) -> None:
    with pytest.raises(AddressRefusedError, match=rf"sftp://.*:{port}.* may add .*:{port} to HAULAGE_ALLOW_NETWORKS"):
        NOBODY.check_host(host, port, "sftp")


def test_https_does_not_reach_the_ports_of_sftp_nor_sftp_those_of_https() -> None:
    for port, scheme in ((22, "https"), (2222, "https"), (443, "sftp"), (8443, "sftp")):
        with pytest.raises(AddressRefusedError, match=r"ports \d+ and \d+ are accepted"):
            NOBODY.check_ip("8.8.8.8", port, scheme)


def test_a_rule_opens_sftp_since_it_is_encrypted() -> None:
    policy = AddressPolicy.parse("10.0.0.0/8:22")
    policy.check_ip("10.1.1.1", 22, "sftp")
    policy.check_host("files.internal", 22, "sftp")
    with pytest.raises(AddressRefusedError):
        policy.check_ip("10.1.1.1", 23, "sftp")


def test_no_url_with_the_scheme_sftp_is_accepted() -> None:
    """Vendors and receivers are called over http; only destinations speak sftp, and they give a host."""
    with pytest.raises(AddressRefusedError, match="scheme 'sftp' is not accepted"):
        NOBODY.check_url("sftp://example.org/")


def test_what_is_no_host_is_refused() -> None:
    for host in ("", "a b", "-x.test", "a/b", "user@example.org", "a\nb"):
        with pytest.raises(AddressRefusedError, match="DNS name"):
            NOBODY.check_host(host, 22, "sftp")
