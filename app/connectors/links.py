"""Next links: finding them in a Link header, resolving them, and deciding whether credentials may follow them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_plus, urljoin, urlsplit, urlunsplit

from app.connectors.faults import PageFault

MAX_LINK_BYTES = 16 * 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}
# No `<` inside a target: otherwise a header of nothing but these would take minutes.
_LINK = re.compile(r"<(?P<url>[^<>]*)>(?P<params>(?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:\"(?:[^\"\\]|\\.)*\"|[^\s;,]*))?)*)")
_PARAM = re.compile(r";\s*(?P<name>[^\s=;,]+)(?:\s*=\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<bare>[^\s;,]*)))?")
_UNSAFE = re.compile(r"[^\x21-\x7e]")


def origin_of(url: str) -> str:
    """`scheme://host[:port]` in one spelling, so that origins compare as text. Raises ValueError."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    bracketed = f"[{host}]" if ":" in host else host
    is_default = parts.port is None or parts.port == _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{bracketed}" + ("" if is_default else f":{parts.port}")


def link_target(values: Iterable[str], rel: str) -> str | None:
    """The first target of relation `rel` in Link header values (RFC 8288), or None."""
    wanted = rel.lower()
    for match in (each for value in values for each in _LINK.finditer(value)):
        params = {each["name"].lower(): each["quoted"] or each["bare"] for each in _PARAM.finditer(match["params"])}
        if wanted in (params.get("rel") or "").lower().split():
            return match["url"]
    return None


def resolve_link(
    link: str, *, base: str, origins: tuple[str, ...], is_rewritten: bool, secret_params: Iterable[str]
) -> str:
    """The absolute URL of the next page, without the query parameters that carry credentials.

    `origins`: where credentials may go, the instance's own first. Raises PageFault `foreign_host` for any other.
    """
    if len(link) > MAX_LINK_BYTES:
        raise PageFault("bad_link", f"The next link is longer than {MAX_LINK_BYTES} bytes.")
    try:
        escaped = _UNSAFE.sub(lambda match: quote(match.group()), link.strip())
        url = urljoin(base, escaped)
        parts, origin = urlsplit(url), origin_of(url)
    except ValueError:
        raise PageFault("bad_link", "The next link cannot be read as a URL.") from None
    if is_rewritten and origin not in origins:
        home = urlsplit(origins[0])
        parts = parts._replace(scheme=home.scheme, netloc=home.netloc)
    elif origin not in origins or "@" in parts.netloc:
        raise PageFault(
            "foreign_host",
            f"The next link points to {origin}, and credentials go only to {', '.join(origins)}. If that host belongs "
            f"to the vendor, add it to the connector's `origins`, or set the page's `link_host: rewrite`.",
        )
    return without_params(urlunsplit(parts._replace(fragment="")), secret_params)


def without_params(url: str, names: Iterable[str]) -> str:
    """`url` without the query parameters `names`, its other bytes untouched."""
    gone = frozenset(names)
    if not gone:
        return url
    parts = urlsplit(url)
    return urlunsplit(
        parts._replace(query="&".join(pair for pair in parts.query.split("&") if _name_of(pair) not in gone))
    )


def with_param(url: str, name: str, value: str) -> str | None:
    """`url` with the value of its query parameter `name` replaced, its other bytes untouched; None if it has none."""
    parts = urlsplit(url)
    pairs = parts.query.split("&")
    if not any(_name_of(pair) == name for pair in pairs):
        return None
    changed = [f"{pair.partition('=')[0]}={quote(value)}" if _name_of(pair) == name else pair for pair in pairs]
    return urlunsplit(parts._replace(query="&".join(changed)))


def _name_of(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])
