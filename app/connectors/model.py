"""What a connector document says, as frozen values. `app.connectors.spec` reads documents into these.

JSON Pointers are kept as text ("" is the whole document). Durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from app.connectors.answer_rule import AnswerRule
from app.connectors.templates import Template
from app.connectors.write_model import NO_WRITES, CsrfSpec, ObjectWrites

Params = tuple[tuple[str, Template], ...]

ANY_OBJECT = "*"
_EMPTY = Template()


class PageKind(StrEnum):
    """How a vendor hands out a list in pieces."""

    NONE = "none"
    PAGE = "page"
    OFFSET = "offset"
    CURSOR = "cursor"
    NEXT_URL = "next_url"
    LINK = "link"
    ODATA = "odata"
    KEYSET = "keyset"


class Resume(StrEnum):
    """What going on at a stored cursor promises."""

    EXACT = "exact"
    """The next record is the one that follows, whatever changed meanwhile (within `token_ttl_s` where one is set)."""
    REPLAY = "replay"
    """The page number is asked again: exact while no record is inserted or removed before it."""
    REPLAY_UNSAFE = "replay_unsafe"
    """As replay, and any change before the offset shifts it."""
    RESTART = "restart"
    """There is one page: it is read again from its beginning."""


class AuthKind(StrEnum):
    """How the credentials are put into a request."""

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"
    API_KEY = "api_key"


class Action(StrEnum):
    """What to do about an answer."""

    OK = "ok"
    RETRY = "retry"
    WAIT = "wait"
    REFRESH_AUTH = "refresh_auth"
    SHRINK_PAGE = "shrink_page"
    RESTART_CURSOR = "restart_cursor"
    EMPTY = "empty"
    STOP = "stop"
    FAIL = "fail"


class ErrorClass(StrEnum):
    """What kind of failure it is: metrics, lists and callbacks group by this."""

    RATE_LIMIT = "rate_limit"
    TRANSIENT = "transient"
    AUTH = "auth"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    DATA = "data"
    DUPLICATE = "duplicate"
    CONFIG = "config"
    VENDOR = "vendor"


_RESUME = {
    PageKind.NONE: Resume.RESTART,
    PageKind.PAGE: Resume.REPLAY,
    PageKind.OFFSET: Resume.REPLAY_UNSAFE,
}


@dataclass(frozen=True)
class PageSpec:
    """How to ask for the next page. Which fields a kind uses: `app.connectors.page_schema.KIND_FIELDS`."""

    kind: PageKind
    param: str = ""
    at: str | None = None
    header: str = ""
    rel: str = "next"
    field: str | None = None
    start: int | str | None = None
    step: Literal["records", "size"] = "records"
    size: int | None = None
    size_max: int | None = None
    size_param: str = ""
    more: str | None = None
    pages: str | None = None
    stop: Literal["empty", "short"] = "empty"
    past_end: Literal["empty", "repeat", "error"] = "empty"
    token_ttl_s: float | None = None
    repeat_params: bool = True
    following_params: tuple[tuple[str, str], ...] = ()
    link_host: Literal["same", "rewrite"] = "same"
    version: int = 4
    prefer_maxpagesize: bool = True
    is_total_exact: bool = False

    @property
    def resume(self) -> Resume:
        """What a stored cursor of this kind is worth."""
        return _RESUME.get(self.kind, Resume.EXACT)

    @property
    def is_size_sent(self) -> bool:
        """Whether the vendor is told a page size at all."""
        return bool(self.size_param) or (self.kind is PageKind.ODATA and self.prefer_maxpagesize)


class WhereKind(StrEnum):
    """How a vendor is told which records to send."""

    PARAMS = "params"
    ODATA = "odata"
    SOQL = "soql"
    TEMPLATE = "template"


@dataclass(frozen=True)
class WhereField:
    """A field that the vendor can filter by. `targets`: (operator, what the kind makes of it)."""

    name: str
    type: Literal["text", "number", "date", "boolean"]
    targets: tuple[tuple[str, str], ...]

    def target(self, operator: str) -> str | None:
        """Parameter or text of the operator, empty where the kind knows by itself; None where it is not declared."""
        return dict(self.targets).get(operator)


@dataclass(frozen=True)
class WhereSpec:
    """Which conditions the vendor takes. Keys of a kind: `app.connectors.where_schema.KIND_KEYS`."""

    kind: WhereKind
    fields: tuple[tuple[str, WhereField], ...]
    param: str = ""
    text: str = "{where}"
    version: int = 4
    dates: str = "iso"
    separator: str = ","
    join: str = " AND "
    quote: str = ""
    escape: Literal["none", "double", "backslash"] = "none"

    def field(self, name: str) -> WhereField | None:
        """The declaration of a field, by its name in the records."""
        return dict(self.fields).get(name)

    @property
    def params(self) -> frozenset[str]:
        """Every query parameter that a condition may set."""
        if self.kind is not WhereKind.PARAMS:
            return frozenset({self.param})
        return frozenset(target for _, each in self.fields for _, target in each.targets)


@dataclass(frozen=True)
class SelectSpec:
    """How the vendor is told which fields are wanted. `nested`: whether it takes dotted names or only top ones."""

    param: str
    separator: str = ","
    nested: Literal["dotted", "top"] = "top"


@dataclass(frozen=True)
class DeletedSpec:
    """What tells records that the vendor has deleted from others, and what becomes of them.

    `at`: pointer into the record. `equals`: its text there; None for anything but null, false, 0 and what is empty.
    """

    at: str
    do: Literal["keep", "drop", "mark"]
    equals: str | None = None


@dataclass(frozen=True)
class DateFilter:
    """How the vendor is asked for records by one of their dates; see `app.connectors.date_filters`."""

    from_param: str = ""
    to_param: str = ""
    form: Literal["iso", "datetime", "space", "date", "epoch", "epoch_ms"] = "iso"
    is_from_exclusive: bool = False
    is_to_exclusive: bool = False
    margin_s: float = 0.0
    most_slices: int = 1
    """Into so many windows at most a range may be cut that are read side by side."""
    shortest_s: float = 0.0

    @property
    def params(self) -> frozenset[str]:
        """Every query parameter that a range sets."""
        return frozenset({self.from_param, self.to_param} - {""})


@dataclass(frozen=True)
class ListSpec:
    """How to read all records of an object."""

    path: Template
    records: str
    page: PageSpec
    record: str = ""
    """Where the record is in an element of that array: vendors wrap them, each in a name of its kind."""
    deleted: DeletedSpec | None = None
    params: Params = ()
    headers: Params = ()
    total: str | None = None
    total_header: str = ""
    missing: Literal["fault", "empty"] = "fault"
    read_timeout_s: float = 120.0
    select: SelectSpec | None = None
    where: WhereSpec | None = None
    lookback_s: float = 300.0
    """How much later than its date says a record may come into the list."""
    dates: tuple[tuple[str, DateFilter], ...] = ()
    """By the field's name in the records."""
    parent: str = ""
    """The object below each of whose records this is a list; empty for a list of its own."""
    is_single: bool = False
    """`records` is one record, not an array of them."""

    def date_filter(self, field: str) -> DateFilter | None:
        """How the vendor filters by that field; None where it cannot."""
        return dict(self.dates).get(field)


NO_LIST = ListSpec(_EMPTY, "", PageSpec(PageKind.NONE))
"""Of an object that can only be written."""


@dataclass(frozen=True)
class RateWindow:
    """At most `calls` calls in any `per_s` seconds, wherever they begin."""

    calls: int
    per_s: float


@dataclass(frozen=True)
class DailyQuota:
    """At most `calls` calls a calendar day of `time_zone`; jobs leave `reserve` of them to whatever else calls."""

    calls: int
    reserve: int
    time_zone: str = "UTC"


@dataclass(frozen=True)
class BudgetHeaders:
    """Where an answer says how many calls are left, of how many, and when the count begins anew. Empty: nowhere."""

    remaining: str = ""
    limit: str = ""
    reset: str = ""
    reset_is: Literal["auto", "epoch", "epoch_ms", "seconds", "iso"] = "auto"


@dataclass(frozen=True)
class LimitSpec:
    """What a vendor lets one customer do, all clients together."""

    windows: tuple[RateWindow, ...] = ()
    quota: DailyQuota | None = None
    concurrency: int | None = None
    headers: BudgetHeaders = BudgetHeaders()


@dataclass(frozen=True)
class ObjectSpec:
    """One kind of record. `id`: pointer to what identifies a record, or None. `windows`: for its calls alone."""

    name: str
    list: ListSpec
    id: str | None = None
    label: str = ""
    windows: tuple[RateWindow, ...] = ()
    updated_field: str = ""
    """Dotted name of the date of a record's last change, empty where none is declared."""
    created_field: str = ""
    is_downloadable: bool = True
    get: ListSpec | None = None
    """How to read one record by its key: a list of one."""
    writes: ObjectWrites = NO_WRITES

    @property
    def is_listed(self) -> bool:
        """Whether its records can be read at all."""
        return self.list is not NO_LIST


@dataclass(frozen=True)
class AuthSpec:
    """Where credentials go. `value` is the token or key, `user` and `password` are for basic."""

    kind: AuthKind
    user: Template = _EMPTY
    password: Template = _EMPTY
    value: Template = _EMPTY
    placement: Literal["header", "query"] = "header"
    name: str = ""
    prefix: str = ""


@dataclass(frozen=True)
class SettingField:
    """One value that an instance gives. Secret ones are encrypted at rest and never shown."""

    name: str
    is_secret: bool
    is_required: bool = True
    default: str | None = None
    enum: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class WaitSpec:
    """Where the vendor says how long to wait."""

    headers: tuple[str, ...] = ("Retry-After",)
    reset: str = ""
    reset_is: Literal["auto", "epoch", "epoch_ms", "seconds", "iso"] = "auto"


@dataclass(frozen=True, kw_only=True)
class ErrorRule(AnswerRule):
    """Where it holds, do `action`. The first rule that matches wins over the built-in table."""

    action: Action
    error_class: ErrorClass


@dataclass(frozen=True)
class Connector:
    """One vendor. `document` is what it was read from."""

    key: str
    name: str
    hub: str
    base_url: Template
    auth: AuthSpec
    objects: tuple[ObjectSpec, ...]
    settings: tuple[SettingField, ...] = ()
    origins: tuple[str, ...] = ()
    headers: Params = ()
    params: Params = ()
    wait: WaitSpec = WaitSpec()
    limits: LimitSpec = LimitSpec()
    errors: tuple[ErrorRule, ...] = ()
    csrf: CsrfSpec | None = None
    docs: str = ""
    destination: str = ""
    """The kind of place that outputs are pushed to, for a connector of the documents hub; it has nothing to read."""
    document: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def object_names(self) -> tuple[str, ...]:
        """The declared objects; `*` stands for any other name."""
        return tuple(each.name for each in self.objects)

    @property
    def secret_names(self) -> frozenset[str]:
        """The settings that must be encrypted and masked."""
        return frozenset(each.name for each in self.settings if each.is_secret)
