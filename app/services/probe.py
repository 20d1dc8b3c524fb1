"""`haulage connector test`: a connector file against a live vendor, told as facts that a person can act on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.connectors.allowances import LOWERING
from app.connectors.children import find_listed
from app.connectors.client import Failed, FetchResult, GotPage, Pending, Sender, VendorClient
from app.connectors.model import ANY_OBJECT, Connector, ObjectSpec, PageKind, PageSpec, Resume
from app.connectors.pages import Page
from app.connectors.pointers import find_raw
from app.connectors.registry import parse_document
from app.connectors.spec import load_connector, resolve_settings
from app.errors import InvalidInputError
from app.http_client import Request

_RESUME = {
    Resume.EXACT: "resumes exactly at a stored cursor",
    Resume.REPLAY: "resumes by page number: exact while nothing is inserted or removed before it",
    Resume.REPLAY_UNSAFE: "resumes by offset: unsafe while data changes",
    Resume.RESTART: "has one page: is read again from its beginning",
}


class Level(StrEnum):
    """How much a fact matters."""

    OK = "ok"
    NOTE = "note"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Fact:
    """One thing that the probe saw."""

    level: Level
    text: str


@dataclass(frozen=True)
class ObjectReport:
    """What was seen of one object, in the order it was seen."""

    name: str
    facts: tuple[Fact, ...]

    @property
    def is_ok(self) -> bool:
        """Whether nothing failed."""
        return all(each.level is not Level.FAIL for each in self.facts)


@dataclass(frozen=True)
class ProbeReport:
    """What was seen of all objects that were asked. `call_count`: vendor calls made."""

    key: str
    objects: tuple[ObjectReport, ...]
    call_count: int

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, else 1."""
        return 0 if all(each.is_ok for each in self.objects) else 1

    def lines(self) -> Iterator[str]:
        """The report for a terminal."""
        for each in self.objects:
            yield f"{each.name}"
            yield from (f"  {fact.level:<4}  {fact.text}" for fact in each.facts)
        verdict = "usable" if self.exit_code == 0 else "not usable as it is"
        yield f"{self.key}: {verdict} ({self.call_count} vendor calls)"


@dataclass(frozen=True)
class _Step:
    """One page as it was asked for and as it came."""

    cursor: Any
    got: GotPage


def checked_document(text: str) -> dict[str, Any]:
    """The document `text` (YAML or JSON) as it may be given to POST /elements. Raises ConnectorInvalidError."""
    document = parse_document(text)
    load_connector(document)
    return document


def run_probe(
    text: str,
    given: Mapping[str, str],
    http: Sender,
    *,
    objects: Sequence[str] = (),
    page_count: int = 2,
    page_size: int | None = None,
) -> ProbeReport:
    """Check the document `text` (YAML or JSON), then read `page_count` pages of each of `objects` (default: all named).

    `given`: config and secret values. Raises ConnectorInvalidError, SettingsInvalidError, and InvalidInputError for an
    object or a setting that the connector does not have. What the vendor does wrong is in the report.
    """
    connector = load_connector(parse_document(text))
    _refuse_unknown(connector, given)
    settings = resolve_settings(connector, given)
    counter = _Counter(http)
    reports = [
        _probe_object(
            VendorClient(connector, name, settings.config, settings.secrets, counter),
            find_listed(connector, name),
            name,
            page_count,
            page_size,
        )
        for name in objects
        or [
            each.name
            for each in connector.objects
            if each.name != ANY_OBJECT and each.is_listed and not each.list.parent
        ]
    ]
    return ProbeReport(connector.key, tuple(reports) or (_nothing_named(connector),), counter.count)


def _refuse_unknown(connector: Connector, given: Mapping[str, str]) -> None:
    """A name that is misspelled would otherwise leave its setting at the default without a word."""
    known = [*(each.name for each in connector.settings), *LOWERING]
    for name in given:
        if name not in known:
            raise InvalidInputError(
                f"The connector {connector.key!r} has no setting {name!r}; accepted: {', '.join(known)}."
            )


class _Counter:
    """Counts the calls that a client makes."""

    def __init__(self, http: Sender) -> None:
        self._http = http
        self.count = 0

    def start(self, request: Request) -> Pending:
        self.count += 1
        return self._http.start(request)


def _nothing_named(connector: Connector) -> ObjectReport:
    text = f"{connector.key} takes any object name; say which one to read (--object NAME)"
    if ANY_OBJECT not in connector.object_names:
        text = f"{connector.key} has no list of its own to read, and nothing is written to try it"
    return ObjectReport(ANY_OBJECT, (Fact(Level.FAIL, text),))


def _probe_object(
    client: VendorClient, spec: ObjectSpec, name: str, page_count: int, page_size: int | None
) -> ObjectReport:
    size = client.page_size(page_size)
    steps: list[_Step] = []
    result: FetchResult | None = None
    cursor: Any = None
    for _ in range(max(1, page_count)):
        result = client.fetch(cursor, size)
        if isinstance(result, Failed):
            break
        steps.append(_Step(cursor, result))
        if result.next.is_exhausted:
            break
        cursor = json.loads(json.dumps(result.next.cursor))
    facts = [*_size_facts(spec.list.page, page_size), *_page_facts(steps, spec, size)]
    facts += _failure_facts(result, len(steps))
    if steps:
        facts += [*_total_facts(steps), *_id_facts(steps, spec), *_resume_facts(client, steps, spec, size)]
    return ObjectReport(name, tuple(facts))


def _failure_facts(result: FetchResult | None, page_count: int) -> Iterator[Fact]:
    if isinstance(result, Failed):
        yield Fact(Level.FAIL, f"page {page_count + 1}: {result.verdict.message} {result.detail}".strip())


def _page_facts(steps: list[_Step], spec: ObjectSpec, size: int) -> Iterator[Fact]:
    for number, step in enumerate(steps, 1):
        page, ms = step.got.page, round(step.got.elapsed_s * 1000)
        yield Fact(Level.OK, f"page {number}: {page.count} records, {step.got.body_bytes} bytes, {ms} ms")
        if not spec.list.page.is_size_sent:
            continue
        if page.count > size:
            yield Fact(Level.NOTE, f"page {number}: {size} records were asked for; the vendor ignores the page size")
        elif page.count < size and not step.got.next.is_exhausted:
            yield Fact(
                Level.NOTE, f"page {number}: {size} were asked for and there is more; declare size_max: {page.count}"
            )
    if steps:
        yield _end_fact(steps, spec.list.page)


def _end_fact(steps: list[_Step], page: PageSpec) -> Fact:
    if not steps[-1].got.next.is_exhausted:
        return Fact(Level.OK, "there is a next page, and its cursor is new")
    text = f"the list ends after page {len(steps)}"
    if len(steps) > 1 or page.kind is PageKind.NONE:
        return Fact(Level.OK, text)
    place = page.at or page.header
    sought = f" at {place!r}" if place else ""
    return Fact(Level.NOTE, f"{text}, no next one was found{sought}: if the vendor has more, correct `page`")


def _size_facts(page: PageSpec, page_size: int | None) -> Iterator[Fact]:
    if page_size is not None and not page.is_size_sent:
        yield Fact(Level.NOTE, f"page size {page_size} is not sent: the connector has no size_param")


def _total_facts(steps: list[_Step]) -> Iterator[Fact]:
    total = steps[0].got.total
    seen = sum(step.got.page.count for step in steps)
    if total is None:
        yield Fact(Level.NOTE, "no total: a list cut short by the vendor cannot be noticed")
    elif steps[-1].got.next.is_exhausted and total != seen:
        yield Fact(Level.NOTE, f"the total says {total}, and {seen} records came: it is an estimate")
    else:
        yield Fact(Level.OK, f"the total says {total}")


def _id_facts(steps: list[_Step], spec: ObjectSpec) -> Iterator[Fact]:
    if spec.id is None:
        yield Fact(Level.NOTE, "no `id` is declared: pages that repeat records are found less surely")
        return
    pages = [_ids(step.got.page, spec.id) for step in steps]
    ids = [each for page in pages for each in page]
    missing = ids.count(None)
    doubles = len(ids) - missing - len(set(ids) - {None})
    if missing:
        yield Fact(Level.FAIL, f"{missing} records have nothing at id {spec.id!r}")
    if doubles:
        yield Fact(Level.FAIL, f"{doubles} records came more than once: the order is not stable, or pages overlap")
    elif ids and not missing:
        yield Fact(Level.OK, f"all {len(ids)} ids are different")


def _resume_facts(client: VendorClient, steps: list[_Step], spec: ObjectSpec, size: int) -> Iterator[Fact]:
    """Read the last page again from its stored cursor: a crash would do the same."""
    ttl = f", within {client.token_ttl_s:g} s" if client.token_ttl_s else ""
    yield Fact(Level.OK, f"{_RESUME[client.resume]}{ttl}")
    last = steps[-1]
    again = client.fetch(last.cursor, size)
    if isinstance(again, Failed):
        yield Fact(Level.FAIL, f"page {len(steps)} read again: {again.verdict.message} {again.detail}".strip())
    elif again.page.fingerprint(spec.id) != last.got.page.fingerprint(spec.id):
        yield Fact(Level.NOTE, f"page {len(steps)} read again from its cursor has other records: the data is changing")
    else:
        yield Fact(Level.OK, f"page {len(steps)} read again from its cursor is the same")


def _ids(page: Page, pointer: str) -> list[bytes | None]:
    found = (find_raw(record, pointer) for record in page.records)
    return [None if each is None else bytes(each) for each in found]
