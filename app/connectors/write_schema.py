"""The schema of what a connector says about writing: operations, batches, verdicts, look-up, field types, CSRF."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError, post_load, validates_schema
from marshmallow.fields import Boolean, Dict, Field, Integer, List, Nested, Raw
from marshmallow.validate import Length, Range

from app.connectors.error_schema import AnswerSchema, conditions
from app.connectors.fields import (
    Duration,
    HeaderName,
    Pointer,
    StrictSchema,
    TemplateText,
    Text,
    header_map,
    one_of,
    pairs,
    path_errors,
    template_map,
)
from app.connectors.pointers import split_pointer
from app.connectors.templates import ID, IDENTIFIER
from app.connectors.write_model import (
    BatchSpec,
    FieldType,
    LookUpSpec,
    Meaning,
    ObjectWrites,
    VerdictRule,
    WriteSpec,
)
from app.domain.uploads import UploadAction

_METHODS = {"create": "POST", "update": "PATCH", "upsert": "PUT", "delete": "DELETE"}
_BATCH_METHODS = {"create": "POST", "update": "PATCH", "upsert": "PUT", "delete": "POST"}
_MIB = 1024 * 1024
WRITING_KEYS = (*(each.value for each in UploadAction), "batch")
"""What makes an object one that can be written."""


class Actions(Field[frozenset[UploadAction]]):
    """One of create, update, upsert, delete, or a list of them."""

    def _deserialize(
        self,
        value: Any,
        attr: str | None,  # noqa: ARG002 - marshmallow's signature
        data: Mapping[str, Any] | None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> frozenset[UploadAction]:
        given = value if isinstance(value, list) and value else [value]
        if not all(isinstance(each, str) and each in _METHODS for each in given):
            raise ValidationError(f"is no action; accepted: {', '.join(_METHODS)}, or a list of these")
        return frozenset(UploadAction(each) for each in given)


class _CallSchema(StrictSchema):
    """What every call of the write side has."""

    path = TemplateText(required=True)
    params = template_map()
    headers = header_map()
    read_timeout_s = Duration(data_key="read_timeout")

    @validates_schema(pass_original=True)
    def _check_path(self, _data: Any, original: Mapping[str, Any], **_: Any) -> None:
        if errors := path_errors(original):
            raise ValidationError(errors)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The arguments of its spec: what depends on the action is known only one level up."""
        return {**data, "params": pairs(data["params"]), "headers": pairs(data["headers"])}


class _BodySchema(_CallSchema):
    """What every call with records in its body has."""

    method = Text(validate=one_of("POST", "PUT", "PATCH", "DELETE"))
    wrap = Pointer()
    beside = Dict(keys=Text(required=True, validate=Length(min=1)), values=Raw(allow_none=True))
    key_field = Text(data_key="by", validate=Length(min=1))
    is_id_omitted = Boolean(data_key="omit_id")
    id_at = Pointer()
    error_at = Pointer()

    @validates_schema
    def _check_beside(self, data: dict[str, Any], **_: Any) -> None:
        if "beside" not in data:
            return
        taken = split_pointer(data.get("wrap", ""))[:1]
        if not taken:
            raise ValidationError({"beside": ["needs `wrap`: where the records go, with these members beside them"]})
        if taken[0] in data["beside"]:
            raise ValidationError({"beside": [f"sets {taken[0]!r}, where `wrap` puts the records"]})

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        beside = tuple((name, json.dumps(value)) for name, value in data.get("beside", {}).items())
        return {**super()._build(data), "beside": beside}


class WriteSchema(_BodySchema):
    """`create`, `update`, `upsert`, `delete`: one call for one record."""

    body = Text(validate=one_of("json", "form", "none"))
    idempotency = HeaderName()

    @validates_schema
    def _check_body(self, data: dict[str, Any], **_: Any) -> None:
        idle = [key for key in ("wrap", "beside") if key in data]
        if data.get("body") == "none" and idle:
            raise ValidationError({key: ["is not used by `body: none`; accepted: nothing"] for key in idle})
        scalars = all(isinstance(each, str | int | float | bool) for each in data.get("beside", {}).values())
        if data.get("body") == "form" and not scalars:
            raise ValidationError({"beside": ["accepted with `body: form`: texts, numbers, true and false"]})


class BatchSchema(_BodySchema):
    """`batch.create` and its like: one call for several records."""

    items = Text(load_default="records", validate=one_of("records", "ids"))
    item = Pointer()
    item_id = Pointer()
    most_rows = Integer(
        data_key="max",
        strict=True,
        required=True,
        validate=Range(2, 10_000, error="is not accepted; accepted: 2 to 10000"),
    )
    most_bytes = Integer(
        data_key="max_bytes",
        strict=True,
        validate=Range(1024, 64 * _MIB, error=f"is not accepted; accepted: 1024 to {64 * _MIB}"),
    )
    needs_same_fields = Boolean(data_key="same_fields")
    mode = Text(required=True, validate=one_of("partial", "atomic"))
    results = Pointer()
    match = Text()
    status_at = Pointer()
    ok_at = Pointer()

    @validates_schema
    def _check_results(self, data: dict[str, Any], **_: Any) -> None:
        errors: dict[str, list[str]] = {}
        judged = [key for key in ("status_at", "ok_at") if key in data]
        if data["mode"] == "partial":
            if "results" not in data:
                errors["results"] = ["is required with `mode: partial`: where the answer holds one result a record"]
            if not {"status_at", "ok_at"} & data.keys():
                errors["status_at"] = ["`status_at` or `ok_at` is required with `mode: partial`"]
        else:
            errors |= {key: ["is not used by `mode: atomic`; accepted: results, id_at, error_at"] for key in judged}
        if "results" not in data:
            errors |= {key: ["needs `results`"] for key in ("match", "id_at") if key in data}
        if not data.get("match", "index").startswith(("/", "index")):
            errors["match"] = ["accepted: index, or a JSON Pointer into a result"]
        _raise_any(errors)

    @validates_schema
    def _check_items(self, data: dict[str, Any], **_: Any) -> None:
        idle = [key for key in ("item", "item_id", "is_id_omitted") if key in data]
        if data["items"] == "ids":
            _raise_any({_SPELLED.get(key, key): ["is not used by `items: ids`"] for key in idle})

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        built = super()._build(data)
        is_only_id = built.pop("items") == "ids"
        return {**built, "is_only_id": is_only_id}


class BatchesSchema(StrictSchema):
    """`batch`: the operations that take several records a call."""

    create = Nested(BatchSchema)
    update = Nested(BatchSchema)
    upsert = Nested(BatchSchema)
    delete = Nested(BatchSchema)


class VerdictSchema(StrictSchema):
    """One entry of `verdicts`."""

    when = Nested(AnswerSchema, required=True)
    meaning = Text(data_key="is", required=True, validate=one_of(*Meaning))
    actions = Actions(data_key="for", load_default=frozenset(UploadAction))
    id_at = Pointer()
    message = Text(load_default="")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> VerdictRule:
        return VerdictRule(
            meaning=Meaning(data["meaning"]),
            actions=data["actions"],
            id_at=data.get("id_at"),
            message=data["message"],
            **conditions(data["when"]),
        )


class LookUpSchema(_CallSchema):
    """`look_up`: how to find out whether a record is there."""

    field = Text(data_key="by", validate=Length(min=1))
    records = Pointer()
    match = Pointer()
    id_at = Pointer()
    after_s = Duration(data_key="after")

    @validates_schema
    def _check_placeholders(self, data: dict[str, Any], **_: Any) -> None:
        templates = (data["path"], *data["params"].values())
        named = {each.dotted for template in templates for each in template.placeholders}
        if ID not in named:
            raise ValidationError({"path": ["needs {id} here or in params: the value that is looked for"]})
        if "field" not in data and IDENTIFIER not in named:
            raise ValidationError({"by": ["is required unless {identifier} in path or params names the field"]})


class FieldSchema(StrictSchema):
    """One entry of `fields`."""

    type = Text(required=True, validate=one_of("text", "integer", "number", "boolean", "json", "date"))


class CsrfSchema(_CallSchema):
    """`csrf`: the token that writes need."""

    header = HeaderName(load_default="X-CSRF-Token")
    fetch_value = Text(load_default="Fetch")
    token_at = Pointer()


class WritesSchema(StrictSchema):
    """The keys of an object that are about writing."""

    WRITING: ClassVar[tuple[str, ...]] = WRITING_KEYS

    create = Nested(WriteSchema)
    update = Nested(WriteSchema)
    upsert = Nested(WriteSchema)
    delete = Nested(WriteSchema)
    batch = Nested(BatchesSchema)
    verdicts = List(Nested(VerdictSchema))
    look_up = Nested(LookUpSchema)
    fields_ = Dict(
        data_key="fields", keys=Text(required=True, validate=Length(min=1)), values=Nested(FieldSchema, required=True)
    )
    upload = Boolean()

    @validates_schema
    def _check_writes(self, data: dict[str, Any], **_: Any) -> None:
        idle = [key for key in ("verdicts", "look_up", "upload") if key in data]
        if idle and not self.is_writable(data):
            raise ValidationError({key: [f"needs one of {', '.join(WRITING_KEYS)} beside it"] for key in idle})
        for action, batch in data.get("batch", {}).items():
            if action in data and data[action].get("key_field") != batch.get("key_field"):
                raise ValidationError({"batch": {action: {"by": [f"is not that of `{action}`; both name one field"]}}})
        if "create" in data.get("batch", {}) and "idempotency" in data.get("create", {}):
            raise ValidationError({"batch": {"create": [_NO_KEYED_BATCH]}})

    @staticmethod
    def is_writable(data: Mapping[str, Any]) -> bool:
        """Whether anything says how a record is written."""
        return any(data.get(key) for key in WRITING_KEYS)


def object_writes(data: Mapping[str, Any], defaults: Mapping[str, Any]) -> ObjectWrites:
    """What an object's data say about writing. `defaults`: arguments that each call has unless it says otherwise."""
    types: dict[str, FieldType] = {name: each["type"] for name, each in data.get("fields_", {}).items()}
    return ObjectWrites(
        operations=tuple((each, _operation(each, data[each], defaults)) for each in UploadAction if each in data),
        batches=tuple(
            (each, BatchSpec(**{**defaults, "method": _BATCH_METHODS[each], **data["batch"][each]}))
            for each in UploadAction
            if each in data.get("batch", {})
        ),
        verdicts=tuple(data.get("verdicts", ())),
        look_up=LookUpSpec(**{**defaults, **data["look_up"]}) if "look_up" in data else None,
        fields=tuple(types.items()),
        is_on=data.get("upload", True),
    )


_SPELLED = {"is_id_omitted": "omit_id"}
_NO_KEYED_BATCH = (
    "is not accepted beside `create.idempotency`: after a crash a batch is put together anew and would have another "
    "key; declare one of the two"
)


def _operation(action: UploadAction, data: Mapping[str, Any], defaults: Mapping[str, Any]) -> WriteSpec:
    body = "none" if action is UploadAction.DELETE else "json"
    return WriteSpec(**{**defaults, "method": _METHODS[action], "body": body, **data})


def _raise_any(errors: Mapping[str, list[str]]) -> None:
    """Raise a ValidationError if there are any."""
    if errors:
        raise ValidationError(dict(errors))
