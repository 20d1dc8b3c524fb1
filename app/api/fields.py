"""Marshmallow fields whose errors say what is accepted."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate

from app.api.body import read_object
from app.domain.file_names import LONGEST_WISH, FileNameError, check

INT32 = 2**31 - 1


def whole_number(low: int = 1, high: int = INT32, **options: Any) -> WholeNumber:
    """An integer between `low` and `high`; null is as good as absent."""
    return WholeNumber(low, high, allow_none=True, **options)


class WholeNumber(fields.Integer):
    """A JSON integer: no text, no fraction, no boolean."""

    def __init__(self, low: int, high: int, *, most: str = "", **options: Any) -> None:
        self._accepted = f"a whole number from {low} to {most or high} is accepted."
        rule = validate.Range(min=low, max=high, error=self._accepted)
        messages: dict[str, Any] = {"required": f"is missing; {self._accepted}", "null": self._accepted}
        super().__init__(strict=True, validate=rule, error_messages=messages, **options)

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> int:  # noqa: ARG002 - marshmallow's signature
        if isinstance(value, bool) or not isinstance(value, (int, float)) or int(value) != value:
            raise ValidationError(self._accepted)
        return int(value)


def retention_hours(**options: Any) -> WholeNumber:
    """How long a job's files are kept; the ceiling is a setting, which services know."""
    told = "Keep the files for so many hours after the job ended; the setting HAULAGE_RETENTION_S without it"
    return whole_number(metadata={"description": told}, most="the hours of HAULAGE_RETENTION_MAX_S", **options)


def job_number(**options: Any) -> JobNumber:
    """A job's id, as a number or as the text that a submission answers; null is as good as absent."""
    return JobNumber(1, INT32, allow_none=True, **options)


class JobNumber(WholeNumber):
    """A job's id: a JSON integer, or its decimal digits."""

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> int:
        is_digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(INT32))
        return super()._deserialize(int(value) if is_digits else value, *args, **options)


def text(low: int = 1, high: int = 200, **options: Any) -> fields.String:
    """A text of `low` to `high` characters."""
    accepted = f"a text of {low} to {high} characters is accepted."
    messages: dict[str, Any] = {"invalid": accepted, "required": f"is missing; {accepted}", "null": accepted}
    return fields.String(
        validate=validate.Length(min=low, max=high, error=accepted), error_messages=messages, **options
    )


def true_or_false(**options: Any) -> Flag:
    """A JSON boolean, or its name as a text; null is as good as absent."""
    return Flag(allow_none=True, **options)


class Flag(fields.Boolean):
    """`true` and `false`, as they are or as texts: clients send both."""

    truthy = {True, "true", "True"}  # noqa: RUF012 - marshmallow's attribute
    falsy = {False, "false", "False"}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        super().__init__(error_messages={"invalid": "true or false is accepted."}, **options)

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> bool:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return bool(super()._deserialize(value, *args, **options))


class MetaData(fields.Field[dict[str, Any]]):
    """An object, or an object as JSON text. Only its own two keys are read; `ignored_keys` names the others."""

    known = ("fileName", "callback-payload")
    _accepted = (
        f"an object (or its JSON text) with fileName, a text of 1 to {LONGEST_WISH} characters, and callback-payload"
    )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> dict[str, Any]:  # noqa: ARG002
        if isinstance(value, str):
            value = read_object(value, attr or "metaData")
        name = value.get("fileName") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(name, str | None):
            raise ValidationError(f"{self._accepted} is accepted.")
        if name is not None:
            FileName().deserialize(name)
        return value


class FileName(fields.Field[str]):
    """A name for the result, with date patterns in braces (reference 9)."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:  # noqa: ARG002
        if not isinstance(value, str):
            raise ValidationError(f"a text of 1 to {LONGEST_WISH} characters is accepted.")
        try:
            return check(value)
        except FileNameError as error:
            raise ValidationError(str(error)) from error


def texts_by_name(**options: Any) -> fields.Dict:
    """An object whose values are texts."""
    accepted = "an object with texts as values is accepted."
    return fields.Dict(
        keys=fields.String(),
        values=fields.String(error_messages={"invalid": "a text is accepted.", "null": "a text is accepted."}),
        error_messages={"invalid": accepted},
        **options,
    )


def choice(*names: str, **options: Any) -> fields.String:
    """One of some texts."""
    accepted = f"one of {', '.join(names)} is accepted."
    return fields.String(
        validate=validate.OneOf(names, error=accepted),
        error_messages={"invalid": accepted, "null": accepted},
        **options,
    )


def array_of_texts(**options: Any) -> fields.List[str]:
    """An array of short texts."""
    accepted = "an array of texts is accepted."
    return fields.List(text(1, 100), error_messages={"invalid": accepted, "null": accepted}, **options)
