"""The schema of `page`: the kind of paging, and only what that kind uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError, post_load, validates_schema
from marshmallow.fields import Boolean, Dict, Field, Integer, Raw
from marshmallow.validate import Length

from app.connectors.fields import Duration, HeaderName, Pointer, StrictSchema, Text, one_of, size_field
from app.connectors.model import PageKind, PageSpec

_SIZES = frozenset({"size", "size_max", "size_param"})
_COUNTED = _SIZES | {"param", "start", "more", "stop", "following_params"}
_CHAINED = _SIZES | {"more", "token_ttl"}
_LINKED = _CHAINED | {"link_host"}

KIND_FIELDS: Mapping[PageKind, tuple[frozenset[str], frozenset[str]]] = {
    PageKind.NONE: (frozenset(), frozenset()),
    PageKind.PAGE: (frozenset({"param"}), _COUNTED | {"pages", "past_end"}),
    PageKind.OFFSET: (frozenset({"param"}), _COUNTED | {"step", "past_end"}),
    PageKind.CURSOR: (frozenset({"param"}), _CHAINED | {"param", "at", "header", "repeat_params", "following_params"}),
    PageKind.NEXT_URL: (frozenset(), _LINKED | {"at", "header"}),
    PageKind.LINK: (frozenset(), _LINKED | {"header", "rel"}),
    PageKind.ODATA: (frozenset(), _LINKED | {"at", "version", "prefer_maxpagesize"}),
    PageKind.KEYSET: (frozenset({"param", "field"}), _COUNTED | {"field", "past_end"}),
}
"""kind -> (required keys, accepted keys), beside `kind`."""

AT_OR_HEADER = frozenset({PageKind.CURSOR, PageKind.NEXT_URL})
_ODATA_NEXT = {2: "/d/__next", 4: "/@odata.nextLink"}
# In OData these limit the whole answer and stay in the next link: as a page size they would end the download early.
_NOT_A_PAGE_SIZE = frozenset({"$top", "$skip"})


class PageSchema(StrictSchema):
    """`page`: the kind, and only what that kind uses."""

    later: ClassVar[frozenset[str]] = frozenset({"body", "first_request", "tie", "delta"})

    kind = Text(required=True, validate=one_of(*PageKind))
    param = Text(validate=Length(min=1))
    at = Pointer()
    header = HeaderName()
    rel = Text()
    field = Pointer()
    start: Field[Any] = Raw()
    step = Text(validate=one_of("records", "size"))
    size = size_field()
    size_max = size_field()
    size_param = Text(validate=Length(min=1))
    more = Pointer()
    pages = Pointer()
    stop = Text(validate=one_of("empty", "short"))
    past_end = Text(validate=one_of("empty", "repeat", "error"))
    token_ttl_s = Duration(data_key="token_ttl")
    repeat_params = Boolean()
    following_params = Dict(keys=Text(required=True), values=Text(required=True))
    link_host = Text(validate=one_of("same", "rewrite"))
    version = Integer(strict=True, validate=one_of(2, 4))
    prefer_maxpagesize = Boolean()

    @validates_schema(pass_original=True)
    def _check_kind(self, _data: Any, original: Mapping[str, Any], **_: Any) -> None:
        kind = PageKind(original["kind"])
        required, accepted = KIND_FIELDS[kind]
        known = {field.data_key or name for name, field in self.fields.items()}
        errors = {key: [f"is required by kind {kind}"] for key in required - original.keys()}
        for key in (original.keys() & known) - accepted - {"kind"}:
            errors[key] = [f"is not used by kind {kind}; accepted: {', '.join(sorted(accepted)) or 'nothing more'}"]
        if kind in AT_OR_HEADER and ("at" in original) == ("header" in original):
            errors["at"] = [f"kind {kind} needs either `at` (pointer) or `header`, and not both"]
        errors |= _page_value_errors(kind, original)
        if errors:
            raise ValidationError(errors)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> PageSpec:
        kind = PageKind(data.pop("kind"))
        data["following_params"] = tuple(data.get("following_params", {}).items())
        if kind is PageKind.ODATA:
            version = data.setdefault("version", 4)
            data.setdefault("at", _ODATA_NEXT[version])
            data.setdefault("prefer_maxpagesize", version == 4)  # noqa: PLR2004 - OData's own number
        return PageSpec(kind=kind, **data)


def limiting_params(kind: PageKind, params: Collection[str]) -> dict[str, list[str]]:
    """Of the parameters of a list, those that would end it early."""
    found = sorted(_NOT_A_PAGE_SIZE.intersection(params)) if kind is PageKind.ODATA else []
    if not found:
        return {}
    told = "limits the whole answer in OData and stays in the next link, so the list would end there without a word"
    return {"params": [f"{', '.join(found)} {told}; accepted: leave it out (Prefer is sent), or kind next_url"]}


def _page_value_errors(kind: PageKind, page: Mapping[str, Any]) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    start = page.get("start")
    if start is not None and kind in {PageKind.PAGE, PageKind.OFFSET} and (not isinstance(start, int) or start < 0):
        errors["start"] = ["is no position; accepted: 0, 1 or another whole number"]
    if start is not None and not isinstance(start, str | int):
        errors["start"] = ["is no key; accepted: a text or whole number"]
    if "size" in page and "size_max" in page and page["size"] > page["size_max"]:
        errors["size"] = ["is above size_max"]
    if page.get("size_param") in _NOT_A_PAGE_SIZE and kind is PageKind.ODATA:
        errors["size_param"] = ["limits the whole answer in OData, not a page; accepted: leave it out (Prefer is sent)"]
    return errors
