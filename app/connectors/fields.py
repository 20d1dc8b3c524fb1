"""marshmallow fields and the strict schema that connector documents are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from marshmallow import EXCLUDE, Schema, ValidationError, validates_schema
from marshmallow.fields import Dict, Field, Integer, List, String
from marshmallow.validate import OneOf

from app.connectors.links import origin_of
from app.connectors.pointers import split_pointer
from app.connectors.templates import Template, TemplateError, parse_template

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
Scalar = str | int | float | bool


class StrictSchema(Schema):
    """Refuses unknown keys and says which are accepted; `later` are known to the format and not yet supported."""

    later: ClassVar[frozenset[str]] = frozenset()

    class Meta:
        """Unknown keys are reported by `_check_keys`, whose message helps more."""

        unknown = EXCLUDE

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _check_keys(self, _data: Any, original: Any, **_: Any) -> None:
        if not isinstance(original, Mapping):
            return
        accepted = [field.data_key or name for name, field in self.fields.items()]
        errors = {str(key): self._refusal(str(key), accepted) for key in original if key not in accepted}
        if errors:
            raise ValidationError(errors)

    def _refusal(self, key: str, accepted: list[str]) -> list[str]:
        if key in self.later:
            return ["is not supported yet, so that nobody relies on it; remove it"]
        return [f"is not a key here; accepted: {', '.join(sorted(accepted))}"]


class Text(String):
    """A text without control characters. Numbers and booleans of YAML are taken as their JSON spelling."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(spelled(value), attr, data, **kwargs)
        if any(ord(char) < ord(" ") for char in text):
            raise ValidationError("holds a control character; accepted: one line of text")
        return text


class TemplateText(Text):
    """A text with placeholders, kept as text; `compiled` reads it again."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return parse_template(text)
        except TemplateError as error:
            raise ValidationError(str(error)) from None


class Pointer(Text):
    """A JSON Pointer."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            split_pointer(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        return text


class HeaderName(Text):
    """The name of an HTTP header."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not _HEADER.fullmatch(text):
            raise ValidationError("is no header name; accepted: letters, digits and hyphens")
        return text


class Duration(Field[float]):
    """Seconds, as a number or with a unit: `90`, `90s`, `5m`, `1h`, `1d`."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> float:  # noqa: ARG002 - marshmallow's signature
        match = _DURATION.fullmatch(str(value)) if not isinstance(value, bool) else None
        if match is None or float(match[1]) <= 0:
            raise ValidationError("is no duration; accepted: seconds, or a number with ms, s, m, h or d")
        return float(match[1]) * _UNITS_S[match[2] or "s"]


class Origin(Text):
    """`https://host[:port]`, brought to one spelling."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            parts, origin = urlsplit(text), origin_of(text)
        except ValueError:
            raise ValidationError("is no origin; accepted: https://host or https://host:port") from None
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValidationError("is no origin; accepted: https://host or https://host:port")
        return origin


def spelled(value: Any) -> Any:
    """YAML's true, 1 and 1.5 as the text that a URL or header needs."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def one_of(*choices: Any, later: tuple[str, ...] = ()) -> Callable[[Any], None]:
    """A validator that names the choices; values of `later` are refused by name as not supported yet."""
    accepted = ", ".join(str(choice) for choice in choices)

    def check(value: Any) -> None:
        if value in later:
            raise ValidationError(f"is not supported yet; accepted: {accepted}")
        OneOf(choices, error=f"is not accepted; accepted: {accepted}")(value)

    return check


def size_field(**extra: Any) -> Integer:
    """A page size."""

    def check(value: int) -> None:
        if not 1 <= value <= 1_000_000:  # noqa: PLR2004 - far above any vendor's maximum
            raise ValidationError("is not accepted; accepted: 1 to 1000000")

    return Integer(strict=True, validate=check, **extra)


def path_errors(original: Mapping[str, Any]) -> dict[str, list[str]]:
    """What is wrong with the `path` of a call, as messages of marshmallow."""
    path = str(original["path"])
    if path.startswith("/") and not any(char in path for char in "?#"):
        return {}
    return {"path": ["is no path; accepted: begins with '/', holds no '?' or '#' (use `params`)"]}


def template_map() -> Dict:
    """Name -> text with placeholders."""
    return Dict(keys=Text(required=True), values=TemplateText(required=True), load_default=dict)


def header_map() -> Dict:
    """Header name -> text with placeholders."""
    return Dict(keys=HeaderName(required=True), values=TemplateText(required=True), load_default=dict)


def text_list(**extra: Any) -> List[Any]:
    """A list of texts."""
    return List(Text(required=True), **extra)


def pairs(mapping: Mapping[str, Template]) -> tuple[tuple[str, Template], ...]:
    """A mapping as a hashable value, in its order."""
    return tuple(mapping.items())
