"""The schema of a connector document: one for YAML files, the API and the database.

Loading returns frozen values (`app.connectors.model`). The format is described for authors in docs/connectors.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, post_load, validates_schema
from marshmallow.fields import Boolean, Dict, Integer, List, Nested
from marshmallow.validate import Length, Regexp

from app.connectors.date_schema import DateSchema, doubled_params
from app.connectors.error_schema import ErrorRuleSchema
from app.connectors.fields import (
    Duration,
    HeaderName,
    Origin,
    Pointer,
    StrictSchema,
    TemplateText,
    Text,
    header_map,
    one_of,
    pairs,
    path_errors,
    template_map,
    text_list,
)
from app.connectors.limit_schema import LimitsSchema, ObjectLimitsSchema
from app.connectors.model import (
    NO_LIST,
    AuthKind,
    AuthSpec,
    LimitSpec,
    ListSpec,
    ObjectSpec,
    PageKind,
    PageSpec,
    SettingField,
    WaitSpec,
)
from app.connectors.page_schema import PageSchema, limiting_params
from app.connectors.record_schema import DeletedSchema, SelectSchema
from app.connectors.templates import parse_template
from app.connectors.where_schema import WhereSchema, where_conflicts
from app.connectors.write_schema import WRITING_KEYS, CsrfSchema, WritesSchema, object_writes

KEY = Regexp(r"^[a-z0-9][a-z0-9_-]{0,63}$", error="accepted: 1 to 64 of a-z 0-9 _ -")
"""What a connector's key may be."""

_LATER_AUTH = (
    "headers", "oauth2_code", "oauth2_client", "oauth2_password", "token_exchange", "jwt", "hmac", "sigv4",
)  # fmt: skip
_AUTH_KEYS: Mapping[str, frozenset[str]] = {
    "none": frozenset(),
    "basic": frozenset({"user", "password"}),
    "bearer": frozenset({"token", "prefix"}),
    "api_key": frozenset({"in", "name", "prefix", "value"}),
}


class ListSchema(StrictSchema):
    """`list`: where the records are and how to get all of them."""

    later: ClassVar[frozenset[str]] = frozenset({"changed", "order", "method", "body", "limits"})

    path = TemplateText(required=True)
    params = template_map()
    headers = header_map()
    records = Pointer(required=True)
    record = Pointer()
    deleted = Nested(DeletedSchema)
    total = Pointer()
    total_header = HeaderName()
    total_is = Text(load_default="estimate", validate=one_of("exact", "estimate"))
    missing = Text(validate=one_of("fault", "empty"))
    read_timeout_s = Duration(data_key="read_timeout")
    parent = Text(load_default="")
    page = Nested(PageSchema, required=True)
    select = Nested(SelectSchema)
    where = Nested(WhereSchema)
    dates = Dict(keys=Text(required=True, validate=Length(min=1)), values=Nested(DateSchema), load_default=dict)
    lookback_s = Duration(data_key="lookback")

    @validates_schema(pass_original=True)
    def _check(self, data: dict[str, Any], original: Mapping[str, Any], **_: Any) -> None:
        errors = path_errors(original)
        if "total" in data and "total_header" in data:
            errors["total_header"] = ["is not accepted beside `total`"]
        errors |= _pointer_conflicts(data)
        page: PageSpec = data["page"]
        errors |= limiting_params(page.kind, data["params"])
        if "where" in data:
            errors |= where_conflicts(data["where"], data["params"], {page.param, page.size_param})
        if doubled := doubled_params(data["dates"], _set_elsewhere(data)):
            errors["dates"] = [f"sets {', '.join(doubled)}, which `params`, `page`, `select` or `where` sets already"]
        if errors:
            raise ValidationError(errors)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The arguments of a ListSpec: what it inherits from `defaults` is known only one level up."""
        total_is = data.pop("total_is")
        page: PageSpec = data["page"]
        data["page"] = PageSpec(**{**vars(page), "is_total_exact": total_is == "exact"})
        data["dates"] = tuple(data["dates"].items())
        data["params"], data["headers"] = pairs(data["params"]), pairs(data["headers"])
        return data


class DatesSchema(StrictSchema):
    """`dates`: the fields that say when a record was made and changed, by dotted names."""

    updated = Text(validate=Length(min=1))
    created = Text(validate=Length(min=1))


class GetSchema(StrictSchema):
    """`get`: how to read one record by its key, `{id}`."""

    later: ClassVar[frozenset[str]] = frozenset({"method", "body", "limits"})

    path = TemplateText(required=True)
    params = template_map()
    headers = header_map()
    record = Pointer(load_default="")
    read_timeout_s = Duration(data_key="read_timeout")

    @validates_schema(pass_original=True)
    def _check(self, _data: Any, original: Mapping[str, Any], **_: Any) -> None:
        if errors := path_errors(original):
            raise ValidationError(errors)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The arguments of a ListSpec."""
        data["params"], data["headers"] = pairs(data["params"]), pairs(data["headers"])
        return {"records": data.pop("record"), **data, "page": PageSpec(PageKind.NONE), "is_single": True}


class ObjectSchema(WritesSchema):
    """One kind of record: how it is read, and how it is written."""

    id = Pointer()
    label = Text()
    limits = Nested(ObjectLimitsSchema)
    dates = Nested(DatesSchema)
    download = Boolean(load_default=True)
    list = Nested(ListSchema)
    get = Nested(GetSchema)

    @validates_schema
    def _check_use(self, data: dict[str, Any], **_: Any) -> None:
        if "list" not in data and not self.is_writable(data):
            raise ValidationError({"list": [f"is required, unless there is one of {', '.join(WRITING_KEYS)}"]})


class SettingSchema(StrictSchema):
    """What an instance has to give."""

    is_required = Boolean(data_key="required", load_default=True)
    default = Text()
    enum = text_list(load_default=list)
    label = Text()

    @validates_schema
    def _check(self, data: dict[str, Any], **_: Any) -> None:
        enum, default = data.get("enum"), data.get("default")
        if enum and default is not None and default not in enum:
            raise ValidationError({"default": [f"is not in enum; accepted: {', '.join(enum)}"]})

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**data, "enum": tuple(data["enum"]), "is_required": data["is_required"] and "default" not in data}


class AuthSchema(StrictSchema):
    """Where the credentials go."""

    kind = Text(required=True, validate=one_of(*AuthKind, later=_LATER_AUTH))
    user = TemplateText()
    password = TemplateText()
    token = TemplateText()
    value = TemplateText()
    prefix = Text()
    placement = Text(data_key="in", validate=one_of("header", "query", later=("cookie",)))
    name = Text(validate=Length(min=1))

    @validates_schema(pass_original=True)
    def _check_kind(self, _data: Any, original: Mapping[str, Any], **_: Any) -> None:
        accepted = _AUTH_KEYS[original["kind"]]
        known = {field.data_key or name for name, field in self.fields.items()}
        unused = (original.keys() & known) - accepted - {"kind"}
        text = ", ".join(sorted(accepted)) or "nothing more"
        if unused:
            raise ValidationError(
                {key: [f"is not used by kind {original['kind']}; accepted: {text}"] for key in unused}
            )
        if original.get("in") == "query" and "name" not in original:
            raise ValidationError({"name": ["is required with `in: query`"]})

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> AuthSpec:
        kind = AuthKind(data["kind"])
        if kind is AuthKind.BASIC:
            return AuthSpec(
                kind,
                user=data.get("user", parse_template("{config.username}")),
                password=data.get("password", parse_template("{secret.password}")),
            )
        if kind is AuthKind.BEARER:
            value = data.get("token", parse_template("{secret.token}"))
            return AuthSpec(kind, value=value, name="Authorization", prefix=data.get("prefix", "Bearer"))
        if kind is AuthKind.API_KEY:
            return AuthSpec(
                kind,
                value=data.get("value", parse_template("{secret.api_key}")),
                placement=data.get("placement", "header"),
                name=data.get("name", "X-API-Key"),
                prefix=data.get("prefix", ""),
            )
        return AuthSpec(kind)


class WaitSchema(StrictSchema):
    """Where the vendor says how long to wait."""

    headers = List(HeaderName(required=True), load_default=lambda: ["Retry-After"])
    reset = HeaderName(load_default="")
    reset_is = Text(load_default="auto", validate=one_of("auto", "epoch", "epoch_ms", "seconds", "iso"))

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> WaitSpec:
        return WaitSpec(tuple(data["headers"]), data["reset"], data["reset_is"])


class DefaultsSchema(StrictSchema):
    """What every object's requests share."""

    later: ClassVar[frozenset[str]] = frozenset({"timeout"})

    headers = header_map()
    params = template_map()
    read_timeout_s = Duration(data_key="read_timeout")


class ConnectorSchema(StrictSchema):
    """The whole document. `app.connectors.spec.load_connector` adds what spans sections."""

    later: ClassVar[frozenset[str]] = frozenset({"native", "webhooks"})

    format = Integer(required=True, strict=True, validate=one_of(1))
    key = Text(required=True, validate=KEY)
    name = Text()
    hub = Text(load_default="general", validate=Regexp(r"^[a-z0-9_-]{1,64}$", error="accepted: 1 to 64 of a-z 0-9 _ -"))
    csrf = Nested(CsrfSchema)
    docs = Text(load_default="")
    verified = Dict(keys=Text(), values=Text())
    base_url = TemplateText(required=True)
    origins = List(Origin(required=True), load_default=list)
    config = Dict(keys=Text(), values=Nested(SettingSchema), load_default=dict)
    secret = Dict(keys=Text(), values=Nested(SettingSchema), load_default=dict)
    auth = Nested(AuthSchema, required=True)
    defaults = Nested(DefaultsSchema, load_default=dict)
    wait = Nested(WaitSchema, load_default=WaitSpec)
    limits = Nested(LimitsSchema, load_default=LimitSpec)
    errors_ = List(Nested(ErrorRuleSchema), data_key="errors", load_default=list)
    objects = Dict(
        keys=Text(), values=Nested(ObjectSchema), required=True, validate=Length(min=1, error="needs an object")
    )


def setting_fields(data: Mapping[str, Any]) -> tuple[SettingField, ...]:
    """The declared settings, config before secrets."""
    return tuple(
        SettingField(name=name, is_secret=scope == "secret", **declared)
        for scope in ("config", "secret")
        for name, declared in data[scope].items()
    )


def object_specs(objects: Mapping[str, Any], default_timeout_s: float | None) -> tuple[ObjectSpec, ...]:
    """The declared objects, with the default read timeout filled in."""
    defaults = {} if default_timeout_s is None else {"read_timeout_s": default_timeout_s}
    return tuple(
        ObjectSpec(
            name,
            ListSpec(**{**defaults, **data["list"]}) if "list" in data else NO_LIST,
            data.get("id"),
            data.get("label", ""),
            data.get("limits", ()),
            updated_field=data.get("dates", {}).get("updated", ""),
            created_field=data.get("dates", {}).get("created", ""),
            is_downloadable=data["download"],
            get=ListSpec(**{**defaults, **data["get"]}) if "get" in data else None,
            writes=object_writes(data, defaults),
        )
        for name, data in objects.items()
    )


def _set_elsewhere(data: Mapping[str, Any]) -> set[str]:
    """Query parameters of a list that are not those of its dates."""
    page: PageSpec = data["page"]
    select, where = data.get("select"), data.get("where")
    return {
        *data["params"],
        page.param,
        page.size_param,
        *(where.params if where else ()),
        *([select.param] if select else []),
    }


def _pointer_conflicts(data: Mapping[str, Any]) -> dict[str, list[str]]:
    """Nothing else can be found inside the array of records, or at the same place."""
    records: str = data["records"]
    page: PageSpec = data["page"]
    inside = {"total": data.get("total"), "page": page.at, "more": page.more, "pages": page.pages}
    return {
        ("page" if name != "total" else name): [f"the pointer {pointer!r} lies inside `records` ({records!r})"]
        for name, pointer in inside.items()
        if pointer is not None and (pointer == records or (records and pointer.startswith(f"{records}/")))
    }


SCHEMA: Schema = ConnectorSchema()
