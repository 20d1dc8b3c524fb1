"""A range of dates as the query parameters by which a vendor filters. Never narrower than what was asked for.

What the vendor takes too much of is left out by us, who judge the records; what it left out nobody would miss. So ends
are moved outwards to what the vendor's form can say, and one that cannot be said at all is not sent.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.connectors.model import DateFilter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_A_SECOND = 1_000_000_000
_UNITS_NS = {"epoch_ms": 1_000_000, "date": 86_400 * _NS_A_SECOND}
_FORMS = {"iso": "T%H:%M:%SZ", "datetime": "T%H:%M:%S", "space": " %H:%M:%S"}


def unit_ns(spec: DateFilter) -> int:
    """The finest step that the vendor's form can tell apart, in nanoseconds."""
    return _UNITS_NS.get(spec.form, _NS_A_SECOND)


def date_params(spec: DateFilter, start_ns: int | None, end_ns: int | None) -> dict[str, str]:
    """Parameters for everything from `start_ns` to `end_ns`, both included; None: no end on that side."""
    margin_ns, unit = round(spec.margin_s * _NS_A_SECOND), unit_ns(spec)
    params: dict[str, str | None] = {}
    if start_ns is not None and spec.from_param:
        first_ns = start_ns - margin_ns
        # A vendor that tells only such steps apart leaves out the whole step that it is given.
        params[spec.from_param] = _written(spec.form, (first_ns // unit - spec.is_from_exclusive) * unit)
    if end_ns is not None and spec.to_param:
        last_ns = end_ns + margin_ns
        params[spec.to_param] = _written(spec.form, -((-last_ns - spec.is_to_exclusive) // unit) * unit)
    return {name: value for name, value in params.items() if value is not None}


def _written(form: str, instant_ns: int) -> str | None:
    if form == "epoch":
        return str(instant_ns // _NS_A_SECOND)
    if form == "epoch_ms":
        return str(instant_ns // _UNITS_NS["epoch_ms"])
    try:
        at = _EPOCH + timedelta(seconds=instant_ns // _NS_A_SECOND)
    except OverflowError:
        return None
    day = f"{at.year:04d}-{at.month:02d}-{at.day:02d}"
    return day if form == "date" else f"{day}{at.strftime(_FORMS[form])}"
