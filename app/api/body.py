"""Reading what a request brings: JSON bodies and query strings against marshmallow schemas.

Every refusal names the field, the value and what is accepted. A schema says in each field's error text what it accepts;
here the name and the value are put in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import marshmallow
import msgspec
from flask import Request
from marshmallow import Schema
from webargs.flaskparser import FlaskParser

from app.api.errors import UnsupportedMediaTypeError
from app.errors import InvalidInputError

MAX_DEPTH = 32
_SHOWN = 100
_decode = msgspec.json.Decoder().decode


class BodyParser(FlaskParser):
    """webargs with our rules for bodies and our errors."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = {"json": None, "query": marshmallow.EXCLUDE, "headers": marshmallow.EXCLUDE}  # noqa: RUF012

    def load_json(self, req: Request, schema: Schema) -> Any:  # noqa: ARG002 - webargs' signature
        """The body as JSON."""
        return read_json(req)

    def handle_error(self, error: marshmallow.ValidationError, req: Request, schema: Schema, **_: Any) -> NoReturn:
        """A schema's complaints as one error of ours."""
        location = next(iter(error.messages_dict))
        given: Any = read_json(req) if location == "json" else req.args.to_dict()
        hidden: frozenset[str] = getattr(schema, "hidden_fields", frozenset())
        raise invalid_input(error.messages_dict[location], given, hidden) from error


def read_json(req: Request) -> dict[str, Any]:
    """Decode the body. Raises InvalidInputError, UnsupportedMediaTypeError; the framework refuses large bodies."""
    return read_object(_body(req, "a JSON object"))


def read_array(req: Request) -> list[Any]:
    """The same of a body that is an array."""
    value = _decoded(_body(req, "a JSON array"), "The body")
    if not isinstance(value, list):
        raise InvalidInputError(f"The body is {_kind(value)}; a JSON array is accepted.")
    return value


def _body(req: Request, accepted: str) -> bytes:
    if req.mimetype and not req.is_json:
        raise UnsupportedMediaTypeError(f"Content-Type {req.mimetype!r} is not accepted: application/json.")
    body = req.get_data()
    if not body:
        raise InvalidInputError(f"The body is empty; {accepted} is accepted.")
    return body


def read_object(text: bytes | str, name: str = "The body") -> dict[str, Any]:
    """An object as JSON text. Raises InvalidInputError, whose text begins with `name`."""
    value = _decoded(text, name)
    if not isinstance(value, dict):
        raise InvalidInputError(f"{name} is {_kind(value)}; a JSON object is accepted.")
    return value


def _decoded(text: bytes | str, name: str) -> Any:
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidInputError(f"{name} is not JSON: {error}.") from error
    except RecursionError as error:
        raise InvalidInputError(f"{name} is nested deeper than {MAX_DEPTH} levels.") from error
    check_values(value, name)
    return value


def invalid_input(messages: Any, given: Any, hidden: frozenset[str] = frozenset()) -> InvalidInputError:
    """Schema messages (nested by field) as one error. Values of `hidden` fields are not shown."""
    found = _flatten(messages, given, ())
    texts = []
    for path, text in found:
        name = ".".join(path) or "body"
        value = _at(given, path)
        is_shown = value is not marshmallow.missing and not hidden.intersection(path)
        texts.append(f"{name} {_shown(value)}: {text}" if is_shown else f"{name}: {text}")
    return InvalidInputError(" ".join(texts), field="/" + "/".join(found[0][0]))


def _flatten(messages: Any, given: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    if not isinstance(messages, Mapping):
        texts = messages if isinstance(messages, list) else [messages]
        return [(path, str(text)) for text in texts]
    # marshmallow keeps messages about a whole object under "_schema" and those about a mapping's entry under "key" and
    # "value"; neither is a step of the path.
    is_entry = not isinstance(_at(given, path), Mapping)
    marks = {"_schema", "key", "value"} if is_entry and path else {"_schema"}
    return [
        found
        for name, inner in messages.items()
        for found in _flatten(inner, given, path if name in marks else (*path, str(name)))
    ]


def _at(given: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if isinstance(given, Mapping):
            given = given.get(name, marshmallow.missing)
        elif isinstance(given, list) and name.isdigit() and int(name) < len(given):
            given = given[int(name)]
        else:
            return marshmallow.missing
    return given if path else marshmallow.missing


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _kind(value: Any) -> str:
    names = {list: "an array", dict: "an object", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def check_values(value: Any, name: str = "The body") -> None:
    """Refuse what JSON can say and a database cannot keep: U+0000, lone surrogates, infinite numbers, deep nesting."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for each in level for inner in _children(each, name)]
        if not level:
            return
    raise InvalidInputError(f"{name} is nested deeper than {MAX_DEPTH} levels.")


def _children(value: Any, name: str) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list):
        return value
    if isinstance(value, str) and ("\0" in value or not _is_encodable(value)):
        raise InvalidInputError(f"{name} has a text with U+0000 or half a surrogate pair, which cannot be kept.")
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        raise InvalidInputError(f"{name} has a number too large to be kept.")
    return []


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
