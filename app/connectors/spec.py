"""Reading connector documents: `load_connector`, `dump_connector`, `digest`, and the settings of an instance.

The same document comes as YAML from a file, as JSON through the API and from the database.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from marshmallow import ValidationError

from app.connectors.allowances import read_lowering
from app.connectors.date_schema import doubled_params
from app.connectors.destination_schema import DESTINATION_SCHEMA
from app.connectors.fields import pairs
from app.connectors.model import ANY_OBJECT, AuthKind, AuthSpec, Connector, ListSpec, Params, SettingField
from app.connectors.schema import SCHEMA, object_specs, setting_fields
from app.connectors.templates import ID, IDENTIFIER, IN_CONTEXT, OBJECT, PARENT_ID, SCOPES, Placeholder, Template
from app.connectors.where_schema import MERGE, where_conflicts
from app.connectors.write_model import BatchSpec, CsrfSpec, LookUpSpec, ObjectWrites, WriteSpec
from app.errors import InvalidInputError

_SHOWN_CHARS = 80


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `pointer` into the document; `value` as JSON text, cut, or empty when it is missing."""

    pointer: str
    value: str
    message: str

    def __str__(self) -> str:
        shown = f" {self.value}" if self.value else ""
        return f"{self.pointer or '/'}:{shown} {self.message}"


class ConnectorInvalidError(InvalidInputError):
    """The document cannot be used. `problems` lists everything that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("The connector is not valid.\n" + "\n".join(str(each) for each in problems))
        self.problems = tuple(problems)


class SettingsInvalidError(InvalidInputError):
    """An instance's settings do not fit its connector. Values are not shown: they may be secrets in the wrong place."""

    def __init__(self, problems: list[Problem]) -> None:
        faults = "; ".join(f"{each.pointer.lstrip('/')}: {each.message}" for each in problems)
        super().__init__(f"These settings do not fit the connector: {faults}.", field=problems[0].pointer)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class InstanceSettings:
    """What an instance gave, with defaults filled in. `secrets` is what must be encrypted."""

    config: Mapping[str, str]
    secrets: Mapping[str, str]

    def __repr__(self) -> str:
        return f"InstanceSettings(config={dict(self.config)!r}, secrets=<{len(self.secrets)}>)"


def load_connector(document: Mapping[str, Any]) -> Connector:
    """Check a document and make it usable. Raises ConnectorInvalidError that lists every problem."""
    if not isinstance(document, Mapping):
        raise ConnectorInvalidError([Problem("", _shown(document), "is no connector; accepted: an object")])
    if "destination" in document:
        return _load_destination(document)
    try:
        data = SCHEMA.load(document)
    except ValidationError as error:
        raise ConnectorInvalidError(sorted_problems(error.messages, document)) from None
    connector = _build(data, document)
    problems = list(_problems(connector, document))
    if problems:
        raise ConnectorInvalidError(problems)
    return connector


def _load_destination(document: Mapping[str, Any]) -> Connector:
    try:
        data = DESTINATION_SCHEMA.load(document)
    except ValidationError as error:
        raise ConnectorInvalidError(sorted_problems(error.messages, document)) from None
    return Connector(
        key=data["key"],
        name=data.get("name", data["key"]),
        hub=data["hub"],
        base_url=Template(),
        auth=AuthSpec(AuthKind.NONE),
        objects=(),
        settings=setting_fields(data),
        docs=data["docs"],
        destination=data["destination"],
        document=copy.deepcopy(dict(document)),
    )


def dump_connector(connector: Connector) -> dict[str, Any]:
    """The document again, as it was given."""
    return copy.deepcopy(dict(connector.document))


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON: the revision that a job pins."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def resolve_settings(connector: Connector, given: Mapping[str, Any]) -> InstanceSettings:
    """Sort an instance's configuration into config and secrets. Names that neither the connector nor
    `app.connectors.allowances.LOWERING` knows are left out.

    Raises SettingsInvalidError that names each missing or refused setting and what is accepted.
    """
    lowering, faults = read_lowering(given)
    values: dict[bool, dict[str, str]] = {False: lowering, True: {}}
    problems = [Problem(f"/{name}", "", fault) for name, fault in faults]
    for setting in connector.settings:
        value = given.get(setting.name, setting.default)
        fault = _setting_fault(setting, value)
        if fault:
            problems.append(Problem(f"/{setting.name}", "", fault))
        elif value is not None:
            values[setting.is_secret][setting.name] = str(value)
    if problems:
        raise SettingsInvalidError(problems)
    settings = InstanceSettings(values[False], values[True])
    if not connector.destination:
        render_base_url(connector, settings.config)
    return settings


def render_base_url(connector: Connector, config: Mapping[str, str]) -> str:
    """The instance's base URL without a trailing slash. Raises SettingsInvalidError.

    A value that begins the URL may be a whole URL; any other one may not leave its place (host label, path segment).
    """
    first, *rest = connector.base_url.parts
    values = {"config": config}
    for part in rest:
        if isinstance(part, Placeholder) and not _is_word(part.value(values)):
            problem = "accepted: letters, digits, '.', '_', '~' and '-', since it is part of the host or path"
            raise SettingsInvalidError([Problem(f"/{part.name}", "", problem)])
    url = connector.base_url.render(values).rstrip("/")
    parts = _split(url)
    if parts is None or parts.query or parts.fragment or parts.username is not None:
        name = first.name if isinstance(first, Placeholder) else "base_url"
        raise SettingsInvalidError([Problem(f"/{name}", "", "accepted: https://host[:port][/path], no query, no user")])
    return url


def sorted_problems(messages: Any, document: Any) -> list[Problem]:
    """Marshmallow's nested messages as a flat list with pointers."""
    return sorted(_flatten(messages, document, ""), key=lambda each: each.pointer)


def _build(data: dict[str, Any], document: Mapping[str, Any]) -> Connector:
    defaults = data["defaults"]
    settings = setting_fields(data)
    declared = {(each.is_secret, each.name) for each in settings}
    auth = data["auth"]
    implied = tuple(
        SettingField(each.name, each.scope == "secret", label=each.name.replace("_", " ").capitalize())
        for template in (auth.user, auth.password, auth.value)
        for each in template.placeholders
        if (each.scope == "secret", each.name) not in declared
    )
    return Connector(
        key=data["key"],
        name=data.get("name", data["key"]),
        hub=data["hub"],
        base_url=data["base_url"],
        auth=auth,
        objects=object_specs(data["objects"], defaults.get("read_timeout_s")),
        settings=settings + tuple(dict.fromkeys(implied)),
        origins=tuple(data["origins"]),
        headers=pairs(defaults.get("headers", {})),
        params=pairs(defaults.get("params", {})),
        wait=data["wait"],
        limits=data["limits"],
        errors=tuple(data["errors_"]),
        csrf=CsrfSpec(**data["csrf"]) if "csrf" in data else None,
        docs=data["docs"],
        document=copy.deepcopy(dict(document)),
    )


def _problems(connector: Connector, document: Mapping[str, Any]) -> Iterator[Problem]:
    """What no single section can see: placeholders without a declaration, secrets in URLs, names in two places."""
    known = {("secret" if each.is_secret else "config", each.name) for each in connector.settings}
    names = [each.name for each in connector.settings]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(f"/secret/{name}", "", "is declared under `config` too; one name has one value")
    for pointer, template, context in _templates(connector):
        for each in template.placeholders:
            if each.scope in SCOPES and (each.scope, each.name) not in known:
                yield Problem(pointer, str(each), f"is not declared; add it under `{each.scope}`")
            if each.scope == "secret" and (pointer == "/base_url" or pointer.endswith("/path")):
                yield Problem(
                    pointer, str(each), "secrets do not belong into host or path; accepted: auth, headers, params"
                )
            if each.dotted in IN_CONTEXT - context:
                yield Problem(pointer, str(each), f"is only known {_KNOWN_IN[each.dotted]}")
    yield from _doubled(connector)
    yield from _child_problems(connector)
    first = connector.base_url.parts[0] if connector.base_url.parts else ""
    if isinstance(first, str) and not first.startswith(("https://", "http://")):
        yield Problem(
            "/base_url", _shown(document["base_url"]), "accepted: begins with https:// or a config placeholder"
        )


def _doubled(connector: Connector) -> Iterator[Problem]:
    """Parameters of `defaults` that a condition or a range would set, too."""
    shared = dict(connector.params)
    for kind in connector.objects:
        if kind.list.where and where_conflicts(kind.list.where, shared, ()):
            yield Problem(f"/objects/{kind.name}/list/where", "", f"sets a parameter of `defaults`; {MERGE}")
        if doubled := doubled_params(dict(kind.list.dates), shared):
            at = f"/objects/{_escaped(kind.name)}/list/dates"
            yield Problem(at, "", f"sets {', '.join(doubled)}, which `defaults` sets already")


_KNOWN_IN = {
    OBJECT: f"inside the object {ANY_OBJECT!r}",
    ID: "in path and params of `get`, of an operation that writes one record, and of `look_up`",
    PARENT_ID: "in path and params of a `list` with `parent`",
    IDENTIFIER: "in an operation that writes, and in `look_up`",
}


def _child_problems(connector: Connector) -> Iterator[Problem]:
    """A list below a parent must be asked for by it, and so must a single record by its key."""
    lists = {each.name: each.list for each in connector.objects if each.is_listed}
    for each in connector.objects:
        at, parent = f"/objects/{_escaped(each.name)}", each.list.parent
        if parent and (parent == each.name or parent not in lists or lists[parent].parent):
            names = sorted(name for name in lists if not lists[name].parent)
            accepted = f"accepted: an object with a list of its own ({', '.join(names)})"
            yield Problem(f"{at}/list/parent", _shown(parent), accepted)
        if parent and PARENT_ID not in _needed(each.list):
            yield Problem(f"{at}/list", "", "needs {parent.id} in path or params, as it has a `parent`")
        if each.get is not None and ID not in _needed(each.get):
            yield Problem(f"{at}/get", "", "needs {id} in path or params")


def _needed(spec: ListSpec) -> set[str]:
    return {
        each.dotted for template in (spec.path, *(each for _, each in spec.params)) for each in template.placeholders
    }


def _templates(connector: Connector) -> Iterator[tuple[str, Template, frozenset[str]]]:
    """(pointer, template, which of IN_CONTEXT have a value there)."""
    none: frozenset[str] = frozenset()
    yield "/base_url", connector.base_url, none
    for part, template in vars(connector.auth).items():
        if isinstance(template, Template):
            yield f"/auth/{part}", template, none
    yield from _of_params("/defaults/headers", connector.headers, none)
    yield from _of_params("/defaults/params", connector.params, none)
    for each in connector.objects:
        named = frozenset({OBJECT}) if each.name == ANY_OBJECT else none
        below = named | {PARENT_ID} if each.list.parent else named
        yield from _of_list(f"/objects/{each.name}/list", each.list, below, named)
        if each.get is not None:
            yield from _of_list(f"/objects/{each.name}/get", each.get, named | {ID}, named)
        yield from _of_writes(f"/objects/{_escaped(each.name)}", each.writes, named | {IDENTIFIER})
    if connector.csrf is not None:
        yield from _of_call("/csrf", connector.csrf, none)


def _of_list(
    at: str, spec: ListSpec, asked: frozenset[str], sent: frozenset[str]
) -> Iterator[tuple[str, Template, frozenset[str]]]:
    yield f"{at}/path", spec.path, asked
    yield from _of_params(f"{at}/params", spec.params, asked)
    yield from _of_params(f"{at}/headers", spec.headers, sent)


def _of_writes(at: str, writes: ObjectWrites, named: frozenset[str]) -> Iterator[tuple[str, Template, frozenset[str]]]:
    for action, operation in writes.operations:
        yield from _of_call(f"{at}/{action}", operation, named | {ID})
    for action, batch in writes.batches:
        yield from _of_call(f"{at}/batch/{action}", batch, named)
    if writes.look_up is not None:
        yield from _of_call(f"{at}/look_up", writes.look_up, named | {ID})


def _of_call(
    at: str, call: WriteSpec | BatchSpec | LookUpSpec | CsrfSpec, named: frozenset[str]
) -> Iterator[tuple[str, Template, frozenset[str]]]:
    yield f"{at}/path", call.path, named
    yield from _of_params(f"{at}/params", call.params, named)
    yield from _of_params(f"{at}/headers", call.headers, named)


def _of_params(at: str, params: Params, context: frozenset[str]) -> Iterator[tuple[str, Template, frozenset[str]]]:
    return ((f"{at}/{_escaped(name)}", template, context) for name, template in params)


def _flatten(messages: Any, document: Any, pointer: str) -> Iterator[Problem]:
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            step = f"/{_escaped(str(key))}" if _is_step(key, inner, document) else ""
            yield from _flatten(inner, _child(document, key) if step else document, pointer + step)
        return
    for message in messages if isinstance(messages, list) else [messages]:
        yield Problem(pointer, "" if document is _ABSENT else _shown(document), _sentence(str(message)))


def _is_step(key: Any, messages: Any, document: Any) -> bool:
    """Whether it leads deeper; marshmallow keeps the messages of a mapping's entries under "key" and "value"."""
    return key not in {"_schema", "value", "key"} or _has(document, key) or messages == [_MISSING]


class _Absent:
    pass


_ABSENT = _Absent()


def _has(document: Any, key: Any) -> bool:
    return _child(document, key) is not _ABSENT


def _child(document: Any, key: Any) -> Any:
    if isinstance(document, Mapping):
        return document.get(key, _ABSENT)
    if isinstance(document, list) and isinstance(key, int) and key < len(document):
        return document[key]
    return _ABSENT


_MISSING = "Missing data for required field."


def _sentence(message: str) -> str:
    plain = {
        _MISSING: "is required",
        "Not a valid string.": "accepted: a text",
        "Shorter than minimum length 1.": "accepted: a text that is not empty, or leave the key out",
        "Not a valid integer.": "accepted: a whole number",
        "Not a valid boolean.": "accepted: true or false",
        "Not a valid mapping type.": "accepted: an object",
        "Not a valid list.": "accepted: a list",
        "Invalid input type.": "accepted: an object",
        "Field may not be null.": "accepted: a value, or leave the key out",
    }
    return plain.get(message, message)


def _setting_fault(setting: SettingField, value: Any) -> str:
    if value is None or value == "":
        return "is required" if setting.is_required else ""
    if not isinstance(value, str | int | float):
        return "accepted: a text"
    if setting.enum and str(value) not in setting.enum:
        return f"accepted: {', '.join(setting.enum)}"
    return "" if str(value).isprintable() or setting.is_secret else "accepted: one line of printable text"


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        return None
    return parts if parts.scheme in {"https", "http"} and parts.hostname else None


def _is_word(text: str) -> bool:
    return bool(text) and quote(text, safe="") == text and ".." not in text


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
