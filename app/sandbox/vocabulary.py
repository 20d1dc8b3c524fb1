"""One way to declare, check and list what a control document may say.

A declaration is a frozen dataclass whose fields are made by :func:`setting`; :func:`read` turns a JSON object into it
and :func:`describe` lists it for people. What is accepted, the default and the explanation stand in one place.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

Declared = TypeVar("Declared")


class BadDocumentError(ValueError):
    """A control document that is not accepted: names the field, the value and what is accepted."""

    def __init__(self, where: str, value: object, accepted: str) -> None:
        shown = repr(value)
        super().__init__(f"{where}: {shown[:200]} is not accepted; accepted: {accepted}")
        self.where, self.value, self.accepted = where, value, accepted


@dataclass(frozen=True)
class Accepts:
    """``says`` what is accepted; ``check`` tells whether a JSON value is."""

    says: str
    check: Callable[[Any], bool]


def choice(*values: str) -> Accepts:
    return Accepts(" | ".join(f'"{value}"' for value in values), lambda value: value in values)


def flag() -> Accepts:
    return Accepts("true | false", lambda value: isinstance(value, bool))


def whole(low: int, high: int) -> Accepts:
    return Accepts(f"a whole number from {low} to {high}", lambda value: type(value) is int and low <= value <= high)


def number(low: float, high: float) -> Accepts:
    return Accepts(
        f"a number from {low:g} to {high:g}", lambda value: type(value) in {int, float} and low <= value <= high
    )


def matching(pattern: str, says: str) -> Accepts:
    shape = re.compile(pattern)
    return Accepts(says, lambda value: isinstance(value, str) and shape.fullmatch(value) is not None)


def either(*accepted: Accepts) -> Accepts:
    return Accepts(" | ".join(one.says for one in accepted), lambda value: any(one.check(value) for one in accepted))


def setting(default: Any, accepts: Accepts, about: str) -> Any:
    """A field of a declaration: its default, what it accepts, and one line about it."""
    return field(default=default, metadata={"accepts": accepts, "about": about})


def read(declaration: type[Declared], document: object, where: str) -> Declared:
    """Make a ``declaration`` of a JSON object. Raises BadDocumentError for unknown keys and unfit values."""
    declared = {one.name: one for one in fields(declaration) if one.metadata}  # type: ignore[arg-type]
    given = mapping(document, where, declared)
    for key, value in given.items():
        accepts: Accepts = declared[key].metadata["accepts"]
        if not accepts.check(value):
            raise BadDocumentError(f"{where}.{key}", value, accepts.says)
    required = [name for name, one in declared.items() if one.default is MISSING and name not in given]
    if required:
        raise BadDocumentError(where, dict(given), f"an object with {', '.join(required)}")
    return declaration(**given)


def mapping(document: object, where: str, known: Iterable[str]) -> Mapping[str, Any]:
    """The document as a JSON object that has only ``known`` keys. Raises BadDocumentError."""
    names = list(known)
    keys = ", ".join(names) or "no keys"
    if not isinstance(document, Mapping):
        raise BadDocumentError(where, document, f"an object with the keys {keys}")
    for key in document:
        if key not in names:
            raise BadDocumentError(f"{where}.{key}", document[key], f"the keys {keys}")
    return document


def describe(declaration: type[object]) -> list[dict[str, Any]]:
    """Rows ``{key, accepts, default, about}`` of a declaration."""
    return [
        {
            "key": one.name,
            "accepts": one.metadata["accepts"].says,
            "default": None if one.default is MISSING else one.default,
            "about": one.metadata["about"],
        }
        for one in fields(declaration)  # type: ignore[arg-type]
        if one.metadata
    ]
