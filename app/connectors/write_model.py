"""What a connector says about writing, as frozen values. `app.connectors.write_schema` reads documents into these.

JSON Pointers are kept as text ("" is the whole document). Durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from app.connectors.answer_rule import AnswerRule
from app.connectors.templates import IDENTIFIER, Template
from app.domain.uploads import UploadAction

FieldType = Literal["text", "integer", "number", "boolean", "json", "date"]
BodyForm = Literal["json", "form", "none"]
_Params = tuple[tuple[str, Template], ...]


class Meaning(StrEnum):
    """What an answer to a write says about the record, by a rule of `verdicts`."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    EXISTED = "existed"
    """It was there already, and that is fine."""
    DUPLICATE = "duplicate"
    """It was there already, and that is a failure."""
    INVALID = "invalid"
    MISSING = "missing"
    """The vendor does not know the record that was to be changed."""
    RETRY = "retry"
    """Surely not written; to be sent again."""
    UNCERTAIN = "uncertain"
    """It may have been written."""


@dataclass(frozen=True, kw_only=True)
class VerdictRule(AnswerRule):
    """Where it holds, the record has this meaning. The first rule that matches wins over the table."""

    meaning: Meaning
    actions: frozenset[UploadAction] = frozenset(UploadAction)
    id_at: str | None = None
    """Where such an answer holds the vendor's id, if elsewhere than a good one."""


@dataclass(frozen=True)
class WriteSpec:
    """One call that writes one record."""

    method: str
    path: Template
    params: _Params = ()
    headers: _Params = ()
    body: BodyForm = "json"
    wrap: str = ""
    """Where the record goes in the body."""
    beside: tuple[tuple[str, str], ...] = ()
    """Members that stand in the body beside it: name, JSON text."""
    key_field: str = ""
    """Dotted name of the field that {id} is; empty: the job's identifier, else the one that the object's `id` names."""
    is_id_omitted: bool = False
    """The identifier is left out of the record that is sent."""
    id_at: str | None = None
    """Where the answer holds the vendor's id. Declared, an answer without one is no proof of anything."""
    error_at: str | None = None
    """Where a refusal holds what is wrong; None: the answer is quoted as it is."""
    idempotency: str = ""
    """The header that takes an idempotency key."""
    read_timeout_s: float = 120.0

    @property
    def needs_identifier(self) -> bool:
        """Whether a row can only be sent with a value in its identifier."""
        return self.is_id_omitted or _names_record((self.path, *_templates(self.params, self.headers)))


@dataclass(frozen=True)
class BatchSpec:
    """One call that writes several records."""

    method: str
    path: Template
    most_rows: int
    mode: Literal["partial", "atomic"]
    """`partial`: each record fares by itself, and the answer says how. `atomic`: all of them or none."""
    params: _Params = ()
    headers: _Params = ()
    wrap: str = ""
    """Where the array goes in the body."""
    beside: tuple[tuple[str, str], ...] = ()
    item: str = ""
    """Where the record goes in its item of the array."""
    item_id: str | None = None
    """Where its identifier goes in its item, beside the record."""
    is_only_id: bool = False
    """The items are the identifiers, without records."""
    key_field: str = ""
    is_id_omitted: bool = False
    needs_same_fields: bool = False
    """The vendor takes a field that only some of the records have as null in the others."""
    most_bytes: int = 8 * 1024 * 1024
    """Of the body."""
    results: str | None = None
    """Where the answer holds the array with one result a record."""
    match: str = "index"
    """How a result finds its row: by `index`, or a pointer to the row's identifier in it."""
    status_at: str | None = None
    ok_at: str | None = None
    id_at: str | None = None
    error_at: str | None = None
    """All four from the root of a result: its HTTP status, whether it is good, the vendor's id, what went wrong.

    In an atomic batch `error_at` is from the root of a refusal.
    """
    read_timeout_s: float = 120.0

    @property
    def needs_identifier(self) -> bool:
        """Whether a row can only be sent with a value in its identifier."""
        return self.is_only_id or self.is_id_omitted or self.item_id is not None or self.match != "index"


@dataclass(frozen=True)
class LookUpSpec:
    """How to find out whether a record is there, by a field of the row.

    `field`: its dotted name; empty where `{identifier}` tells the vendor which field is meant, so that it is the job's.
    """

    path: Template
    params: _Params = ()
    headers: _Params = ()
    field: str = ""
    records: str = ""
    """Where the answer holds what was found: an array, or the one record."""
    match: str | None = None
    """Where a found record holds the value that was looked for; None: by the field's own name."""
    id_at: str | None = None
    """Where a found record holds the vendor's id."""
    after_s: float = 30.0
    """How long after a record was sent an empty answer proves that it will not appear any more."""
    read_timeout_s: float = 120.0

    @property
    def is_by_key(self) -> bool:
        """Whether the path names the one record, so that 404 says that it is not there."""
        return _names_record((self.path,))


@dataclass(frozen=True)
class CsrfSpec:
    """A token that is fetched with a GET and goes, together with the cookies that came with it, into each write."""

    path: Template
    header: str = "X-CSRF-Token"
    fetch_value: str = "Fetch"
    """What the header says when a token is asked for; empty: it is not sent."""
    token_at: str | None = None
    """Where the body holds the token; None: it is in the header of that name."""
    params: _Params = ()
    headers: _Params = ()
    read_timeout_s: float = 60.0


@dataclass(frozen=True)
class ObjectWrites:
    """All that can be written to an object."""

    operations: tuple[tuple[UploadAction, WriteSpec], ...] = ()
    batches: tuple[tuple[UploadAction, BatchSpec], ...] = ()
    verdicts: tuple[VerdictRule, ...] = ()
    look_up: LookUpSpec | None = None
    fields: tuple[tuple[str, FieldType], ...] = ()
    """Dotted name -> what it holds."""
    is_on: bool = True
    """False: uploads to it are refused."""

    def operation(self, action: UploadAction) -> WriteSpec | None:
        """How one record is sent; None where the connector does not say."""
        return dict(self.operations).get(action)

    def batch(self, action: UploadAction) -> BatchSpec | None:
        """How several records are sent with one call; None where the connector does not say."""
        return dict(self.batches).get(action)

    def key_field(self, action: UploadAction) -> str:
        """The field that {id} is by the connector's word; empty where it says nothing."""
        return next((each.key_field for each in (self.operation(action), self.batch(action)) if each), "")

    @property
    def actions(self) -> tuple[UploadAction, ...]:
        """What an upload may do, in the order of `UploadAction`."""
        declared = dict(self.operations).keys() | dict(self.batches).keys()
        return tuple(each for each in UploadAction if each in declared and self.is_on)


NO_WRITES = ObjectWrites()
"""Of an object that can only be read."""


def _templates(*maps: _Params) -> tuple[Template, ...]:
    return tuple(template for each in maps for _, template in each)


def _names_record(templates: tuple[Template, ...]) -> bool:
    return any(each.dotted in {"id", IDENTIFIER} for template in templates for each in template.placeholders)
