"""Which network addresses a user-given URL or host may reach.

Vendors' base URLs, next links, callback receivers and endpoints all come from users, so each is a chance to make us
call our own network. `check_url` and `check_host` refuse early what the text already tells; `check_ip` is the real
guard and is asked for every address that is dialled: a name that resolves differently the second time gains nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import SplitResult, urlsplit

from app.errors import AddressRefusedError, ConfigError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SETTING = "HAULAGE_ALLOW_NETWORKS"
DEFAULT_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65535
_PUBLIC_PORTS: dict[str, tuple[int, ...]] = {"https": (443, 8443), "sftp": (22, 2222)}
"""Scheme -> ports of public addresses. Plain http is on none of them: a rule of the allow-list must open it."""
_RULE_FORM = "`[http://]CIDR[:PORT[-PORT]]`, IPv6 in brackets, for example `10.1.0.0/16:443` or `http://[::1/128]:8001`"

# Instance credentials are served here by cloud providers (AWS, its container and EKS forms, Google, Alibaba, Oracle,
# Azure): no allow-list may open them, since an operator who allows a private range never means these.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "192.0.0.192", "168.63.129.16",
        "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
    )
)  # fmt: skip

# CPython's own tables changed between releases (gh-113171), so the ranges that matter are named here as well.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20",
        "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_RULE = re.compile(r"(?P<http>http://)?(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[0-9./]+))(?::(?P<first>\d+)(?:-(?P<last>\d+))?)?")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]|\\")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\.?")


@dataclass(frozen=True)
class AllowRule:
    """One entry of the setting: a network, whether plain http may be spoken there, and an inclusive port range."""

    network: Network
    is_http_allowed: bool = False
    first_port: int = 1
    last_port: int = _LAST_PORT

    def allows(self, address: Address, port: int, scheme: str) -> bool:
        """Whether this rule opens `address:port` for `scheme`."""
        return self.allows_port(port, scheme) and address.version == self.network.version and address in self.network

    def allows_port(self, port: int, scheme: str) -> bool:
        """Whether some address of this rule could be dialled so."""
        return self.first_port <= port <= self.last_port and (scheme != "http" or self.is_http_allowed)


@dataclass(frozen=True)
class AddressPolicy:
    """Public addresses over https (ports 443, 8443) and sftp (22, 2222), and what the allow-list adds."""

    allow: tuple[AllowRule, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AddressPolicy:
        """Read HAULAGE_ALLOW_NETWORKS. Raises ConfigError that names the entry and the accepted form."""
        return cls(tuple(_parse_rule(entry.strip()) for entry in text.split(",") if entry.strip()))

    def check_url(self, url: str) -> None:
        """Refuse what the text of `url` already shows to be forbidden. Resolves nothing.

        Raises AddressRefusedError that names host and port (never path or query) and the setting.
        """
        parts = _split(url)
        self.check_host(parts.hostname or "", port_of(parts), parts.scheme)

    def check_host(self, host: str, port: int, scheme: str) -> None:
        """Refuse a name or an address (without brackets) for what its text shows. `scheme`: http, https or sftp.

        Raises AddressRefusedError that names host, port and the setting.
        """
        address = literal_address(host)
        if address is not None:
            self._check(address, port, scheme, shown=f"{scheme}://{_bracketed(host)}:{port}")
        elif not _HOST.fullmatch(host):
            raise AddressRefusedError(
                f"The host {host[:100]!r} is not accepted: a DNS name (IDNA form) or an IP address."
            )
        elif host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
            self._check_localhost(host, port, scheme)
        else:
            self._check_named(host, port, scheme)

    def check_ip(self, ip: str, port: int, scheme: str) -> None:
        """Refuse an address that is about to be dialled. Raises AddressRefusedError."""
        address = ipaddress.ip_address(ip.partition("%")[0])
        self._check(address, port, scheme, shown=f"{scheme}://{_bracketed(ip)}:{port}")

    def _check(self, address: Address, port: int, scheme: str, *, shown: str) -> None:
        for each in effective_addresses(address):
            if each in _METADATA:
                raise AddressRefusedError(f"{shown} is a cloud metadata address, which is never called.")
            if any(rule.allows(each, port, scheme) for rule in self.allow):
                continue
            if not _is_public(each):
                raise AddressRefusedError(f"{shown} is not a public address. {_remedy(each, port, scheme)}")
            if scheme == "http":
                raise AddressRefusedError(f"{shown} is plain http. Use https. {_remedy(each, port, scheme)}")
            if port not in _PUBLIC_PORTS[scheme]:
                first, second = _PUBLIC_PORTS[scheme]
                remedy = _remedy(each, port, scheme)
                raise AddressRefusedError(f"{shown}: ports {first} and {second} are accepted. {remedy}")

    def _check_localhost(self, host: str, port: int, scheme: str) -> None:
        loopbacks = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
        if not any(rule.allows(address, port, scheme) for rule in self.allow for address in loopbacks):
            self._check(loopbacks[0], port, scheme, shown=f"{scheme}://{host}:{port}")

    def _check_named(self, host: str, port: int, scheme: str) -> None:
        if port in _PUBLIC_PORTS.get(scheme, ()):
            return
        if any(rule.allows_port(port, scheme) for rule in self.allow):
            return
        asked = f"http://CIDR:{port}" if scheme == "http" else f"CIDR:{port}"
        secure = "https" if scheme == "http" else scheme
        first, second = _PUBLIC_PORTS[secure]
        raise AddressRefusedError(
            f"{scheme}://{host}:{port} is not accepted: {secure} on port {first} or {second}. "
            f"An operator may add {asked} to {SETTING}."
        )


def effective_addresses(address: Address) -> tuple[Address, ...]:
    """The addresses that a packet to `address` really goes to: embedded IPv4 ones, else the address itself."""
    if not isinstance(address, IPv6Address):
        return (address,)
    bare = IPv6Address(int(address))  # drops a scope id, which would defeat the comparison
    if bare.ipv4_mapped is not None:
        return (bare.ipv4_mapped,)
    if bare.sixtofour is not None:
        return (bare.sixtofour,)
    if bare.teredo is not None:
        return bare.teredo
    if bare in _NAT64:
        return (IPv4Address(int(bare) & 0xFFFFFFFF),)
    return (bare,)


def literal_address(host: str) -> Address | None:
    """The address that `host` spells, in any form a C library reads (`0x7f.1`, `2130706433`, `0`); None for a name."""
    bare = host.removesuffix(".")
    try:
        return ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(bare)) if bare and bare[0].isdigit() else None
    except (OSError, ValueError):
        return None


def port_of(parts: SplitResult) -> int:
    """The port of a split URL, by scheme where none is written."""
    return parts.port or DEFAULT_PORTS[parts.scheme]


def _split(url: str) -> SplitResult:
    if _UNPRINTABLE.search(url):
        raise AddressRefusedError("The URL is not accepted: only printable ASCII without spaces and backslashes.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefusedError("The URL is not accepted: host or port cannot be read.") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise AddressRefusedError(f"The scheme {parts.scheme[:20]!r} is not accepted: https (or http where allowed).")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise AddressRefusedError(
            f"The URL of host {parts.hostname!r} carries a user name: credentials belong elsewhere."
        )
    if not parts.hostname or port == 0:
        raise AddressRefusedError("The URL is not accepted: it names no host, or port 0.")
    return parts


def _is_public(address: Address) -> bool:
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast


def _remedy(address: Address, port: int, scheme: str) -> str:
    network = f"{address}/32" if isinstance(address, IPv4Address) else f"[{address}/128]"
    rule = f"{'http://' if scheme == 'http' else ''}{network}:{port}"
    return f"An operator may add {rule} to {SETTING}."


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _parse_rule(entry: str) -> AllowRule:
    match = _RULE.fullmatch(entry)
    if match is None:
        raise ConfigError(f"{SETTING} entry {entry!r} is not accepted: {_RULE_FORM}.")
    try:
        network = ipaddress.ip_network(match["v6"] or match["v4"], strict=False)
    except ValueError as error:
        raise ConfigError(f"{SETTING} entry {entry!r} is not accepted ({error}): {_RULE_FORM}.") from None
    first = int(match["first"] or 1)
    last = int(match["last"] or match["first"] or _LAST_PORT)
    if not 1 <= first <= last <= _LAST_PORT:
        raise ConfigError(f"{SETTING} entry {entry!r}: ports are 1 to 65535, the first not above the last.")
    return AllowRule(network, match["http"] is not None, first, last)
