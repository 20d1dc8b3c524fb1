"""The one table of what an answer means: status and network failures to a verdict. A connector's `errors` go first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from app.connectors.answer_rule import AnswerRule
from app.connectors.faults import PageFault
from app.connectors.model import Action, Connector, ErrorClass
from app.connectors.pointers import Missing, find_value
from app.connectors.waits import stated_wait_s
from app.http_client import Headers, Kind, TransportError

_OK = frozenset({200, 203, 206})
_HTTP_OK, _HTTP_REDIRECT, _HTTP_ERROR = 200, 300, 400
NO_CONTENT = 204
SHRINK_FRACTION = 8
"""A read timeout may shrink pages to this part of the wanted size: a vendor that is down must not end at size 1."""


@dataclass(frozen=True)
class Verdict:
    """What to do about an answer. `retry_after_s`: the vendor's (or our) word on when; None means backoff.

    `refresh_auth` means: read the credentials anew and ask again at once, then do `otherwise`. For `shrink_page`,
    `otherwise` is what to do when the page cannot be made smaller, and `floor_fraction` how far it may shrink (1/n of
    the wanted size).
    """

    action: Action
    error_class: ErrorClass
    message: str
    retry_after_s: float | None = None
    otherwise: Action = Action.FAIL
    floor_fraction: int | None = None


@dataclass(frozen=True)
class _Entry:
    action: Action
    error_class: ErrorClass
    text: str


_RETRY, _WAIT, _FAIL = Action.RETRY, Action.WAIT, Action.FAIL

_FINE = Verdict(Action.OK, ErrorClass.VENDOR, "")

_STATUSES: Mapping[int, _Entry] = {
    202: _Entry(_WAIT, ErrorClass.TRANSIENT, "the answer is not ready yet"),
    204: _Entry(Action.EMPTY, ErrorClass.VENDOR, "there is no content"),
    400: _Entry(_FAIL, ErrorClass.CONFIG, "the vendor refused the request"),
    401: _Entry(Action.REFRESH_AUTH, ErrorClass.AUTH, "the vendor did not accept the credentials"),
    402: _Entry(_FAIL, ErrorClass.PERMISSION, "the vendor asks for payment"),
    403: _Entry(_FAIL, ErrorClass.PERMISSION, "the credentials may not read this"),
    404: _Entry(_FAIL, ErrorClass.NOT_FOUND, "the vendor does not know this path"),
    405: _Entry(_FAIL, ErrorClass.CONFIG, "the vendor refused the method"),
    408: _Entry(_RETRY, ErrorClass.TRANSIENT, "the vendor timed out"),
    409: _Entry(_RETRY, ErrorClass.TRANSIENT, "the vendor reports a conflict"),
    410: _Entry(_FAIL, ErrorClass.NOT_FOUND, "the vendor says that this is gone"),
    421: _Entry(_RETRY, ErrorClass.TRANSIENT, "the request came to the wrong server"),
    423: _Entry(_RETRY, ErrorClass.TRANSIENT, "the vendor reports a lock"),
    425: _Entry(_RETRY, ErrorClass.TRANSIENT, "the vendor asks to send later"),
    429: _Entry(_WAIT, ErrorClass.RATE_LIMIT, "the vendor's rate limit is reached"),
    501: _Entry(_FAIL, ErrorClass.CONFIG, "the vendor does not support the request"),
    503: _Entry(_WAIT, ErrorClass.TRANSIENT, "the vendor is unavailable"),
    505: _Entry(_FAIL, ErrorClass.CONFIG, "the vendor refused the HTTP version"),
}
_REDIRECT = _Entry(_FAIL, ErrorClass.CONFIG, "the vendor redirects, and redirects are not followed; correct the URL")
_OTHER_4XX = _Entry(_FAIL, ErrorClass.CONFIG, "the vendor refused the request")
_OTHER_5XX = _Entry(_RETRY, ErrorClass.TRANSIENT, "the vendor failed")
_STRANGE = _Entry(_RETRY, ErrorClass.VENDOR, "the vendor answered with an unusual status")

_NETWORK: Mapping[Kind, Verdict] = {
    "dns": Verdict(_RETRY, ErrorClass.TRANSIENT, "The vendor's name could not be resolved."),
    "connect": Verdict(_RETRY, ErrorClass.TRANSIENT, "The vendor could not be reached."),
    "tls": Verdict(_RETRY, ErrorClass.CONFIG, "No trusted TLS connection could be made."),
    "timeout": Verdict(
        Action.SHRINK_PAGE,
        ErrorClass.TRANSIENT,
        "The vendor did not answer in time.",
        otherwise=_RETRY,
        floor_fraction=SHRINK_FRACTION,
    ),
    "cut": Verdict(_RETRY, ErrorClass.TRANSIENT, "The connection broke before the whole answer was there."),
    "stale": Verdict(_RETRY, ErrorClass.TRANSIENT, "A kept connection had been closed.", retry_after_s=0.0),
    "decode": Verdict(_RETRY, ErrorClass.VENDOR, "The answer could not be decoded."),
    "refused_address": Verdict(_FAIL, ErrorClass.CONFIG, "The address is not allowed."),
    "too_large": Verdict(Action.SHRINK_PAGE, ErrorClass.VENDOR, "The page is too large.", otherwise=_FAIL),
}


def classify_response(
    connector: Connector, status: int, headers: Headers, body: bytes, *, now: datetime | None = None
) -> Verdict:
    """The verdict on a whole answer: the connector's first matching rule, else the built-in table.

    `now`: what dates in it are held against; the clock's time where it is left out.
    """
    if status in _OK and not connector.errors:
        return _FINE
    rule = next((each for each in connector.errors if matches(each, status, headers, body)), None)
    if rule is None and status in _OK:
        return _FINE
    builtin = _entry(status)
    action = builtin.action if rule is None else rule.action
    error_class = builtin.error_class if rule is None else rule.error_class
    text = builtin.text if rule is None or not rule.message else rule.message
    is_waiting = action in {_RETRY, _WAIT}
    return Verdict(
        action,
        error_class,
        f"HTTP {status}: {text}.",
        retry_after_s=stated_wait_s(connector.wait, headers, now or datetime.now(UTC)) if is_waiting else None,
        otherwise=_FAIL,
    )


def classify_transport(connector: Connector, error: TransportError) -> Verdict:
    """The verdict on an answer that did not come."""
    builtin = _NETWORK[error.kind]
    rule = next((each for each in connector.errors if error.kind in each.network), None)
    if rule is None:
        return builtin
    floor = builtin.floor_fraction if rule.action is Action.SHRINK_PAGE else None
    return Verdict(
        rule.action, rule.error_class, rule.message or builtin.message, otherwise=_RETRY, floor_fraction=floor
    )


def classify_fault(fault: PageFault) -> Verdict:
    """The verdict on an answer that cannot be right: it is read again, since a cache or a failover may be behind it."""
    if fault.is_permanent:
        return Verdict(_FAIL, ErrorClass.CONFIG, str(fault))
    if fault.may_be_expiry:
        return Verdict(Action.REFRESH_AUTH, ErrorClass.VENDOR, str(fault), otherwise=_RETRY)
    return Verdict(_RETRY, ErrorClass.VENDOR, str(fault))


def _entry(status: int) -> _Entry:
    if status in _STATUSES:
        return _STATUSES[status]
    if status < _HTTP_REDIRECT:
        return _STRANGE
    if status < _HTTP_ERROR:
        return _REDIRECT
    return _OTHER_4XX if status < 500 else _OTHER_5XX  # noqa: PLR2004 - where HTTP's server errors begin


def matches(rule: AnswerRule, status: int, headers: Headers, body: bytes) -> bool:
    """Whether the answer fulfils all conditions of the rule."""
    if rule.network or (rule.statuses and not {str(status), f"{status // 100}xx"} & set(rule.statuses)):
        return False
    if not rule.statuses and status in _OK:
        return False  # a rule about good answers names their status: it is not to match a word inside some record
    if rule.body and rule.body.encode() not in body:
        return False
    if rule.header and not _equals(headers.get(rule.header), rule.equals):
        return False
    return rule.pointer is None or _equals(_text_at(body, rule.pointer), rule.equals)


def _equals(found: str | None, wanted: str | None) -> bool:
    return found is not None and (wanted is None or found == wanted)


def _text_at(body: bytes, pointer: str) -> str | None:
    try:
        value = find_value(body, pointer)
    except (Missing, RecursionError):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)
