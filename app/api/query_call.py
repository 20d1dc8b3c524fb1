"""What a call of `POST /bulk/query` asks for, wherever its client put it (reference 1b).

Clients send the same names in the query string, in a form (url-encoded or multipart), in a JSON body, and some of them
in `metaData`, an object or its JSON text. A name outside `metaData` wins over the same one in it; two places outside
must agree. An empty value is as good as none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flask import Request

from app.api.body import check_values, invalid_input, read_object
from app.api.errors import UnsupportedMediaTypeError
from app.api.query_schema import ABOUT_NAMES, NAMES, QueryCallSchema
from app.domain.criteria import DownloadCriteria, Engine
from app.domain.jobs import FileFormat
from app.errors import InvalidInputError
from app.services.querying import Asked, criteria_of

CALLBACK_HEADER = "Elements-Async-Callback-Url"
VERSION_HEADER = "Elements-Version"

_SCHEMA = QueryCallSchema()
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_ALIASES = {"query": "q"}


def engine_of(request: Request) -> Engine:
    """The engine that the client wants: `Elements-Version: Helium` is the newer one, anything else the older one."""
    return "V3" if request.headers.get(VERSION_HEADER, "").strip().lower() == "helium" else "V2"


def read_query_call(request: Request) -> DownloadCriteria:
    """The criteria that the call asks for.

    Raises InvalidInputError that names what is wrong (for `q` its position), UnsupportedMediaTypeError.
    """
    ignored: list[str] = []
    parameters = _parameters(request, ignored)
    given = _agreed(parameters, _body(request))
    about = _about(given.pop("metaData", None), ignored)
    merged = {**about, **given}
    check_values(merged, "The call")
    if about.get("incremental") and not merged.keys() & {"from", "lastRunDate", "continueFromJobId"}:
        ignored.append("metaData.incremental (there is no lastRunDate beside it)")
    if faults := _SCHEMA.validate(merged):
        raise invalid_input(faults, merged)
    asked: Asked = _SCHEMA.load(merged)
    is_new = engine_of(request) == "V3"
    return criteria_of(
        asked,
        FileFormat.JSONL if is_new else FileFormat.CSV,
        notification_url=request.headers.get(CALLBACK_HEADER) or None,
        ignored=tuple(ignored),
    )


def _parameters(request: Request, ignored: list[str]) -> dict[str, Any]:
    """Those of the query string. Others than ours are told: some come from proxies and mean no record."""
    ignored += [name for name in request.args if name not in NAMES]
    return _named((name, value) for name, value in request.args.items(multi=True) if name in NAMES)


def _body(request: Request) -> dict[str, Any]:
    """What the body says; nothing if it is empty, whatever its type. Raises InvalidInputError for unknown names."""
    body = request.get_data()
    if not body.strip():
        return {}
    # curl's -d calls everything url-encoded.
    is_json = request.is_json or (request.mimetype in {_FORMS[0], ""} and body.lstrip()[:1] == b"{")
    if not is_json and request.mimetype not in _FORMS:
        raise UnsupportedMediaTypeError(
            f"Content-Type {request.mimetype!r} is not accepted with a body: application/json, {', '.join(_FORMS)}."
        )
    found = _named(read_object(body).items()) if is_json else _named(_form(request))
    for name in found:
        if name not in NAMES:
            raise InvalidInputError(f"{name[:100]!r} is not accepted here: {', '.join(NAMES)}.", field=f"/{name}")
    if not found and not is_json:
        raise InvalidInputError(f"The body holds no form field; accepted: {', '.join(NAMES)}.")
    return found


def _form(request: Request) -> Iterator[tuple[str, str]]:
    yield from request.form.items(multi=True)
    for name, part in request.files.items(multi=True):  # some libraries give every part a file name
        try:
            yield name, part.read().decode()
        except UnicodeDecodeError:
            raise InvalidInputError(f"{name[:100]} is no text in UTF-8.", field=f"/{name}") from None


def _named(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """By our names, without empty values. Raises InvalidInputError where one name has two values."""
    found: dict[str, Any] = {}
    for given, value in pairs:
        name = _ALIASES.get(given, given)
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if found.setdefault(name, value) != value:
            raise InvalidInputError(f"{name} is given twice with different values; one is accepted.", field=f"/{name}")
    return found


def _agreed(parameters: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    return _named([*body.items(), *parameters.items()])


def _about(value: Any, ignored: list[str]) -> dict[str, Any]:
    """What `metaData` says, flat; what means nothing to us is noted in `ignored`."""
    if value is None:
        return {}
    about = read_object(value, "metaData") if isinstance(value, str) else value
    if not isinstance(about, dict):
        raise InvalidInputError("metaData is neither an object nor the JSON text of one.", field="/metaData")
    validation = about.get("validationData")
    flat = {**validation, **about} if isinstance(validation, dict) else about
    ignored += [f"metaData.{name}" for name in about if name not in {*ABOUT_NAMES, "validationData"}]
    return {name: flat[name] for name in ABOUT_NAMES if flat.get(name) not in (None, "")}
