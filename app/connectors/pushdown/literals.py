"""Values of a query as values of the vendor's field; None wherever the vendor could mean less than we do.

We compare a text that is a date as an instant, and a number that is text in the record as we find it
(`app.domain.ocnql.comparing`): a vendor that knows only its field's type would miss some of that.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from app.connectors.model import WhereField
from app.domain.ocnql import Boolean, Number, Text, Value
from app.domain.ocnql.comparing import decimal_of, flag_of, instant_of

_EQUALITIES = frozenset({"=", "in"})
_LONGEST_NUMBER = 40
_NS_A_SECOND = 1_000_000_000
_NS_A_MS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text_literal(value: Value, operator: str) -> str | None:
    """The text of a field of type `text`: printable, not empty (vendors take that for no filter), and no date."""
    if not isinstance(value, Text) or not value.text or not value.text.isprintable():
        return None
    return None if instant_of(value) is not None and "like" not in operator else value.text


def number_literal(value: Value, operator: str) -> str | None:
    """Plain decimal digits, without an exponent. Against text in a record we compare a quoted number as text."""
    number = decimal_of(value)
    if number is None or not (isinstance(value, Number) or operator in _EQUALITIES):
        return None
    return plain_number(number)


def plain_number(number: Decimal) -> str | None:
    """Without an exponent; None for one that would take more than 40 characters."""
    if abs(number.adjusted()) + len(number.as_tuple().digits) > _LONGEST_NUMBER:
        return None
    return format(number, "f")


def boolean_literal(value: Value, operator: str) -> str | None:
    """`true` or `false`; the same caution with a quoted one."""
    flag = flag_of(value)
    if flag is None or not (isinstance(value, Boolean) or operator in _EQUALITIES):
        return None
    return str(flag).lower()


def date_literal(value: Value, form: str) -> str | None:
    """An instant as `iso` (UTC, `Z`), `datetime` (UTC without it), `datetimeoffset`, `epoch` or `epoch_ms`."""
    instant = instant_of(value)
    if instant is None:
        return None
    if form in {"epoch", "epoch_ms"}:
        whole, rest = divmod(instant, _NS_A_SECOND if form == "epoch" else _NS_A_MS)
        return None if rest else str(whole)
    text = _utc(instant)
    if text is None or form == "iso":
        return text
    return f"datetime'{text.removesuffix('Z')}'" if form == "datetime" else f"datetimeoffset'{text}'"


def literal(field: WhereField, operator: str, value: Value, dates: str) -> str | None:
    """The value as a field of its type takes it, without quotes."""
    if field.type == "text":
        return text_literal(value, operator)
    if field.type == "number":
        return number_literal(value, operator)
    return boolean_literal(value, operator) if field.type == "boolean" else date_literal(value, dates)


def literals(field: WhereField, operator: str, values: tuple[Value, ...], dates: str) -> list[str] | None:
    """All of them, or None if one cannot be told."""
    found = [literal(field, operator, each, dates) for each in values]
    told = [each for each in found if each is not None]
    return told if len(told) == len(found) else None


def _utc(instant: int) -> str | None:
    seconds, fraction = divmod(instant, _NS_A_SECOND)
    try:
        at = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return None
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return f"{at.replace(tzinfo=None).isoformat()}{digits}Z"
