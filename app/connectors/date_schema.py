"""The schema of `dates`: date fields that the vendor filters by, and whether their range may be read in slices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema
from marshmallow.fields import Integer, Nested
from marshmallow.validate import Length, Range

from app.connectors.fields import Duration, StrictSchema, Text, one_of
from app.connectors.model import DateFilter

_MOST_SLICES = 1000
_FORMS = ("iso", "datetime", "space", "date", "epoch", "epoch_ms")
_DAY_S = 86_400.0


class SlicesSchema(StrictSchema):
    """How many windows a range may be cut into."""

    at_most = Integer(
        strict=True,
        load_default=_MOST_SLICES,
        validate=Range(2, _MOST_SLICES, error=f"is not accepted; accepted: 2 to {_MOST_SLICES}"),
    )
    shortest_s = Duration(data_key="shortest", load_default=_DAY_S)


class DateSchema(StrictSchema):
    """One field: the parameters that carry the ends of a range."""

    from_param = Text(data_key="from", validate=Length(min=1))
    to_param = Text(data_key="to", validate=Length(min=1))
    form = Text(data_key="as", load_default="iso", validate=one_of(*_FORMS))
    from_is = Text(load_default="inclusive", validate=one_of("inclusive", "exclusive"))
    to_is = Text(load_default="inclusive", validate=one_of("inclusive", "exclusive"))
    margin_s = Duration(data_key="margin")
    slices = Nested(SlicesSchema)

    @validates_schema
    def _check(self, data: dict[str, Any], **_: Any) -> None:
        if "from_param" not in data and "to_param" not in data:
            raise ValidationError("needs `from` or `to`: the parameter that carries the end of a range")
        if data.get("from_param") == data.get("to_param"):
            raise ValidationError({"to": ["is the parameter of `from`; accepted: another one"]})
        if "slices" in data and not {"from_param", "to_param"} <= data.keys():
            raise ValidationError({"slices": ["needs both `from` and `to`"]})

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> DateFilter:
        slices = data.pop("slices", None)
        for end in ("from", "to"):
            data[f"is_{end}_exclusive"] = data.pop(f"{end}_is") == "exclusive"
        if slices is not None:
            data |= {"most_slices": slices["at_most"], "shortest_s": slices["shortest_s"]}
        return DateFilter(**data)


def doubled_params(dates: Mapping[str, DateFilter], taken: Iterable[str]) -> list[str]:
    """Parameters of a range that something else sets already: one would overwrite the other without a word."""
    return sorted({name for each in dates.values() for name in each.params} & set(taken))
