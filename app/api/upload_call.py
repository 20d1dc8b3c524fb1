"""What a call of `POST /bulk/{objectName}` brings: a file, and what is to be done with it (reference 5).

The file goes on to the store as it comes. Options stand in the part `metaData`, before or behind the file, or in the
query string, which wins.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.body import check_values, invalid_input, read_object
from app.api.errors import TooSlowError, UnsupportedMediaTypeError
from app.api.multipart import Part, boundary_of, read_parts
from app.api.query_call import CALLBACK_HEADER
from app.api.upload_schema import ABOUT_NAMES, QUERY_NAMES, UploadSchema
from app.domain.uploads import UploadOptions
from app.errors import InvalidInputError, PayloadTooLargeError
from app.services.intake import LONGEST_S, Intake

MOST_ABOUT_BYTES = 64 * 1024
"""Of the part `metaData`."""
_MOST_BESIDES_BYTES = 1024 * 1024
"""What may come beside the file: other parts, their headers, the boundaries."""
_PIECE_BYTES = 256 * 1024
_TYPE = "multipart/form-data"
_AS_IT_IS = {"", "binary", "7bit", "8bit"}
_SCHEMA = UploadSchema()


class UploadCall:
    """One request. Made before its body is touched: raises InvalidInputError, UnsupportedMediaTypeError,
    PayloadTooLargeError for what its headers and its query string say.
    """

    def __init__(self, request: Request, object_name: str, *, most_bytes: int) -> None:
        """`most_bytes`: of the file."""
        _check_type(request)
        self._boundary = boundary_of(request.headers["Content-Type"])
        self._request = request
        self._object_name = object_name
        self._most_bytes = most_bytes
        self._ignored = [name for name in request.args if name not in QUERY_NAMES]
        self._given = _parameters(request)
        self._options(None)
        if (request.content_length or 0) > most_bytes + _MOST_BESIDES_BYTES:
            raise _too_large(most_bytes)
        request.max_content_length = most_bytes + _MOST_BESIDES_BYTES

    @property
    def notification_url(self) -> str | None:
        """Where the caller wants to be told of the end."""
        return self._request.headers.get(CALLBACK_HEADER) or None

    def read(self, intake: Intake) -> UploadOptions:
        """Take the body apart. The file goes to `intake`, which is told of the options as soon as they are known.

        Raises InvalidInputError, PayloadTooLargeError, TooSlowError, and what `intake` raises.
        """
        about: dict[str, Any] | None = None
        for part in read_parts(self._pieces(), self._boundary):
            if part.name == "file":
                _check_plain(part)
                intake.keep(_limited(part.content, self._most_bytes))
            elif part.name == "metaData":
                if about is not None:
                    raise InvalidInputError("The part `metaData` is there twice; one is accepted.", field="metaData")
                about = _about(part)
                intake.check(self._options(about))
            else:
                self._ignored.append(f"the part {part.name[:100]!r}")
        self._ignored += [f"metaData.{name}" for name in about or () if name not in ABOUT_NAMES]
        return self._options(about)

    def _options(self, about: dict[str, Any] | None) -> UploadOptions:
        merged = {**_known(about or {}), **self._given}
        if faults := _SCHEMA.validate(merged):
            raise invalid_input(faults, merged)
        options: UploadOptions = _SCHEMA.load(merged)
        return replace(
            options,
            object_name=self._object_name,
            notification_url=self.notification_url,
            ignored=tuple(self._ignored),
        )

    def _pieces(self) -> Iterator[bytes]:
        until = time.monotonic() + LONGEST_S
        while piece := self._piece():
            yield piece
            if time.monotonic() > until:
                raise TooSlowError(f"The upload took longer than {LONGEST_S:.0f} s; send a smaller file.")

    def _piece(self) -> bytes:
        try:
            return self._request.stream.read(_PIECE_BYTES)
        except RequestEntityTooLarge:
            raise _too_large(self._most_bytes) from None
        except Exception as error:  # the server's own, for a broken connection or transfer coding
            raise InvalidInputError("The body broke off before its end; send it again.") from error


def _check_type(request: Request) -> None:
    if request.mimetype != _TYPE:
        raise UnsupportedMediaTypeError(
            f"Content-Type {request.mimetype[:100]!r} is not accepted: {_TYPE} with the part `file`, as"
            " `curl -F file=@name.csv` sends it."
        )
    coding = request.headers.get("Content-Encoding", "identity")
    if coding.strip().lower() != "identity":
        raise UnsupportedMediaTypeError(
            f"Content-Encoding {coding[:100]!r} is not accepted for the form; the file in it may be gzip or zip."
        )


def _check_plain(part: Part) -> None:
    coding = part.headers.get("content-transfer-encoding", "")
    if coding.lower() not in _AS_IT_IS:
        raise InvalidInputError(
            f"Content-Transfer-Encoding {coding[:100]!r} of the part `file` is not accepted: send its bytes as they"
            " are.",
            field="file",
        )


def _parameters(request: Request) -> dict[str, Any]:
    """Those of the query string that are ours, without empty ones."""
    found: dict[str, Any] = {}
    for name, value in request.args.items(multi=True):
        if name in QUERY_NAMES and value.strip() and found.setdefault(name, value) != value:
            raise InvalidInputError(f"{name} is given twice with different values; one is accepted.", field=name)
    check_values(found, "The query string")
    return _known(found)


def _about(part: Part) -> dict[str, Any]:
    """What `metaData` says; nothing if it is empty."""
    written = b"".join(_limited(part.content, MOST_ABOUT_BYTES, "The part `metaData`"))
    return read_object(written, "metaData") if written.strip() else {}


def _known(given: dict[str, Any]) -> dict[str, Any]:
    """The names that mean something; null and empty values are as good as none."""
    return {name: given[name] for name in ABOUT_NAMES if given.get(name) not in (None, "")}


def _limited(pieces: Iterable[bytes], most: int, what: str = "") -> Iterator[bytes]:
    taken = 0
    for piece in pieces:
        taken += len(piece)
        if taken > most:
            raise PayloadTooLargeError(f"{what} has more than {most} bytes.") if what else _too_large(most)
        yield piece


def _too_large(most: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"The file is larger than HAULAGE_UPLOAD_MAX_BYTES allows, {most} bytes; send it gzipped, or in parts."
    )
