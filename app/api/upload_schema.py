"""The schema of an upload's `metaData`. The names are the wire's (reference 5); those of ours come last."""

# ruff: noqa: N815 - names of the wire
from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, pre_load, validates_schema

from app.api.fields import FileName, retention_hours, text, true_or_false, whole_number
from app.domain.uploads import InputFormat, UploadAction, UploadOptions

MOST_BATCH_SIZE = 10_000
_FORMATS: dict[str, InputFormat] = {
    "csv": "csv",
    "text/csv": "csv",
    "txt/csv": "csv",
    "json": "json",
    "jsonl": "json",
    "application/json": "json",
    "application/jsonl": "json",
}
_ENCODINGS = frozenset({
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "ascii",
    *(f"iso8859-{number}" for number in range(1, 17) if number != 12),  # noqa: PLR2004 - there is no part 12
    *(f"cp{number}" for number in (437, 850, 852, 858, 866, 874, 932, 936, 949, 950, *range(1250, 1259))),
    "koi8-r", "koi8-u", "mac-roman", "shift_jis", "euc_jp", "euc_kr", "gb2312", "gbk", "gb18030", "big5",
})  # fmt: skip
"""Python's names. None of them is stateful: a leg goes on in the middle of a file."""
_SIGNS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_LONGEST_PATH = 500


class _Read(fields.Field[Any]):
    """A text that `read` makes something of; it answers None to what is not accepted."""

    def __init__(self, read: Callable[[str], Any], accepted: str, **options: Any) -> None:
        self._read = read
        self._accepted = accepted
        super().__init__(error_messages={"null": accepted}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:  # noqa: ARG002
        found = self._read(value) if isinstance(value, str) else None
        if found is None:
            raise ValidationError(self._accepted)
        return found


def _encoding(name: str) -> str | None:
    try:
        found = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):
        return None
    return found if found in _ENCODINGS else None


def _sign(written: str) -> str | None:
    sign = _SIGNS.get(written.lower(), written)
    is_usable = len(sign) == 1 and sign.isascii() and not sign.isalnum() and (sign.isprintable() or sign == "\t")
    return sign if is_usable and sign != "\\" else None


def _action(name: str) -> UploadAction | None:
    return UploadAction(name.lower()) if name.lower() in set(UploadAction) else None


_A_SIGN = "one ASCII character that is no letter, digit or backslash, or tab, is accepted."


class UploadSchema(Schema):
    """Every name that an upload takes, from `metaData` or the query string."""

    class Meta:
        unknown = EXCLUDE

    action = _Read(
        _action,
        f"one of {', '.join(UploadAction)} is accepted.",
        metadata={"description": "create (as without it), update, upsert or delete", "type": "string"},
    )
    format = _Read(
        lambda name: _FORMATS.get(name.lower()),
        "csv or json (an array of objects, or one object a line) is accepted.",
        metadata={"description": "csv (as without it) or json: one array, or one object a line", "type": "string"},
    )
    identifierFieldName = text(metadata={"description": "Dotted name of the field that tells the record"})
    bulkUploadRecordSize = whole_number(
        1, MOST_BATCH_SIZE, metadata={"description": "Rows a vendor call, at most; 1: each row by itself"}
    )
    concurrency = _Read(
        lambda name: {"serial": True, "parallel": False}.get(name.lower()),
        "serial or parallel is accepted.",
        metadata={"description": "serial: one call at a time, in the order of the rows", "type": "string"},
    )
    path = text(
        1,
        _LONGEST_PATH,
        metadata={"description": "In the place of the object's path, for a sub-resource; {id} is the row's identifier"},
    )
    fileName = FileName(metadata={"description": "A name for the job's files, with date patterns in braces"})
    callback_payload = fields.Raw(data_key="callback-payload", metadata={"description": "Given back in callbacks"})
    encoding = _Read(
        _encoding,
        "the name of a character set such as utf-8, utf-16, windows-1252, iso-8859-1 or shift_jis is accepted.",
        metadata={"description": "Character set; by the byte order mark without it, else UTF-8", "type": "string"},
    )
    delimiter = _Read(
        _sign, _A_SIGN, metadata={"description": "Between the cells of a CSV; found out without it", "type": "string"}
    )
    quote = _Read(_sign, _A_SIGN, metadata={"description": 'Around the cells of a CSV; " without it', "type": "string"})
    resendUncertain = true_or_false(
        metadata={"description": "Send again what the vendor may have taken, at the risk of a double"}
    )
    retentionHours = retention_hours()

    @pre_load
    def read_texts(self, given: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The numbers of query strings are texts, and clients quote them in JSON too; the alias is spelled out."""
        found = dict(given)
        alias = found.pop(ALIAS, None)
        if alias is not None and found.setdefault("identifierFieldName", alias) != alias:
            raise ValidationError({ALIAS: ["is another field than identifierFieldName; one of the two is accepted."]})
        for name in ("bulkUploadRecordSize", "retentionHours"):
            number = found.get(name)
            if isinstance(number, str) and number.strip().isdecimal() and len(number) <= len(str(MOST_BATCH_SIZE)):
                found[name] = int(number)
        return found

    @validates_schema
    def check_signs(self, values: dict[str, Any], **_: Any) -> None:
        """A sign cannot be both."""
        if values.get("delimiter") is not None and values.get("delimiter") == values.get("quote", '"'):
            raise ValidationError({"delimiter": ["is the quote too; two different characters are accepted."]})

    @post_load
    def as_options(self, values: dict[str, Any], **_: Any) -> UploadOptions:
        """All but the object's name, the callback URL and what was ignored."""
        return UploadOptions(
            object_name="",
            action=values.get("action", UploadAction.CREATE),
            format=values.get("format", "csv"),
            identifier=values.get("identifierFieldName", ""),
            encoding=values.get("encoding", ""),
            delimiter=values.get("delimiter", ""),
            quote=values.get("quote", ""),
            is_serial=values.get("concurrency", False),
            batch_size=values.get("bulkUploadRecordSize"),
            path=values.get("path", ""),
            resends_uncertain=values.get("resendUncertain") or False,
            file_name=values.get("fileName"),
            callback_payload=values.get("callback_payload"),
            retention_hours=values.get("retentionHours"),
        )


ALIAS = "primaryKeyName"
"""What the identifier is called on some connectors."""

ABOUT_NAMES = (*sorted(each.data_key or name for name, each in UploadSchema().fields.items()), ALIAS)
"""Accepted in `metaData`."""

QUERY_NAMES = tuple(name for name in ABOUT_NAMES if name not in {"path", "callback-payload"})
"""Accepted in the query string. `path` there was the name of a file once, and no target (reference 5)."""
