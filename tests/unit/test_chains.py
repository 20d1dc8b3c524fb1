"""What a chain remembers and where it goes on, in memory: any vendor, any number of pages a checkpoint, any crash."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from app.connectors.client import GotPage
from app.connectors.pages import EMPTY_PAGE
from app.connectors.paginators import Next
from app.domain.chains import Dates, Mark, Version, instant_text, us_of, version_of
from app.domain.instants import parse_instant
from app.domain.selection import Selection, Window
from app.http_client import Request, Response
from app.services.overlap import Overlap
from tests.fakes.changing_vendor import ChangingVendor
from tests.fakes.month import CASES, LOOKBACK, Case, Judge

LOOKBACK_US = int(LOOKBACK.total_seconds() * 1e6)
INSTANTS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)


def page_of(date_header: str | None) -> GotPage:
    return GotPage(EMPTY_PAGE, Next(None, is_exhausted=True), None, 200, 0, date_header)


class Chain:
    """Jobs of a chain as legs work: pages go in, checkpoints come out; what was not committed is lost with a leg."""

    def __init__(self, case: Case, dice: random.Random) -> None:
        self.case = case
        self.dice = dice
        self.vendor = ChangingVendor(case.order, call_s=20)
        self.judge = Judge(self.vendor)
        self.mark = Mark(1)
        self.versions: dict[bytes, Version] = {}
        self.cursor: str | None = None
        self.begun = False
        for number in range(1, 40):
            self.vendor.put(number)

    def job(self) -> None:
        """One job of at most a few calls; the last one of a pass puts the mark where the next one begins."""
        self.judge.job_begins()
        left = self.case.calls_a_day
        delivered: list[tuple[int, int]] = []
        is_over = False
        while left > 0 and not is_over:
            calls, is_over, new = self._leg(left)
            left -= calls
            delivered += new
        self.judge.job_ended(delivered, is_pass_over=is_over)
        if is_over:
            self.mark, self.cursor = Mark(1, self.mark.ahead(LOOKBACK_US)), None
            self.versions = {
                key: each
                for key, each in self.versions.items()
                if self.mark.floor_us is None or each.at_us >= self.mark.floor_us
            }

    def _leg(self, most_calls: int) -> tuple[int, bool, list[tuple[int, int]]]:
        overlap = Overlap(
            self.mark,
            Dates("changed"),
            "/id",
            LOOKBACK_US,
            lookup=lambda keys: {key: self.versions[key].digest for key in keys if key in self.versions},
            now=lambda: self.vendor.now,
        )
        floor_ns = None if self.mark.floor_us is None else self.mark.floor_us * 1000
        selection = Selection(window=Window("changed", floor_ns, None) if floor_ns is not None else None)
        waiting: list[tuple[int, int]] = []
        committed: list[tuple[int, int]] = []
        cursor = self.cursor
        for number in range(1, most_calls + 1):
            if self.dice.random() < 0.3:
                self.case.change(self.vendor, self.dice)
            answer = self._ask(cursor)
            overlap.note_call(page_of(answer.headers.get("Date")))
            body = json.loads(answer.body)
            records = [msgspec.Raw(json.dumps(each).encode()) for each in body["records"]]
            chosen = overlap.choose(records, None, selection.choose)
            assert chosen.consumed == len(records)
            waiting += [(each["id"], each["version"]) for each in map(json.loads, map(bytes, chosen.records))]
            cursor = body["token"]
            if self.dice.random() < 0.2:
                return number, False, committed  # the worker dies
            if cursor is None or number == most_calls or self.dice.random() < 0.5:
                noted = overlap.seal()
                self.versions |= noted.versions
                highs = [each for each in (self.mark.high_us, noted.high_us) if each is not None]
                self.mark = replace(
                    self.mark,
                    clock_us=self.mark.clock_us if noted.clock_us is None else noted.clock_us,
                    high_us=max(highs, default=None),
                )
                committed, waiting, self.cursor = committed + waiting, [], cursor
            if cursor is None:
                return number, True, committed
        return most_calls, False, committed

    def _ask(self, cursor: str | None) -> Response:
        url = "https://vendor.test/list?size=7" + (f"&cursor={cursor}" if cursor else "")
        return self.vendor.request(Request("GET", url, (), None, 1.0))


@settings(max_examples=150)
@given(st.sampled_from(sorted(CASES)), st.integers(0, 2**32))
def test_every_version_comes_once_and_none_is_missed(name: str, seed: int) -> None:
    dice = random.Random(seed)
    chain = Chain(CASES[name], dice)
    for _ in range(12):
        chain.job()
        for _ in range(dice.randrange(6)):
            chain.vendor.wait(minutes=dice.choice([0, 1, 5, 60, 600]))
            CASES[name].change(chain.vendor, dice)


@given(st.none() | INSTANTS, st.none() | INSTANTS, st.none() | INSTANTS, st.integers(0, 10**12))
def test_the_next_pass_begins_between_this_floor_and_the_clock(
    floor: int | None, clock: int | None, high: int | None, lookback: int
) -> None:
    ahead = Mark(1, floor, clock, high).ahead(lookback)
    if floor is not None:
        assert ahead is not None
        assert ahead >= floor
    if ahead is not None and ahead != floor:
        assert clock is not None
        assert high is not None
        latest = parse_us("9999-12-31T23:59:59.999999")
        assert ahead == min(max(min(clock, high) - lookback, parse_us("0001-01-01")), latest)


def test_a_date_behind_the_last_year_gives_a_floor_that_can_be_written() -> None:
    """In a zone west of Greenwich the last day of 9999 reaches into the year 10000."""
    behind_us = parse_us("9999-12-31T23:59:59-12:00")
    floor_us = Mark(1, None, behind_us, behind_us).ahead(0)
    assert floor_us is not None
    assert instant_text(floor_us) == "9999-12-31T23:59:59.999999Z"


def parse_us(text: str) -> int:
    found = us_of(parse_instant(text))
    assert found is not None
    return found


@given(INSTANTS)
def test_an_instant_is_read_back_as_it_was_written(instant_us: int) -> None:
    assert parse_us(instant_text(instant_us)) == instant_us


def test_versions_are_told_apart_by_id_and_content() -> None:
    one = version_of(b'{"id": 1, "a": 1}', b"1", 5)
    assert one == version_of(b'{"id": 1, "a": 1}', b"1", 5)
    changed, other = version_of(b'{"id": 1, "a": 2}', b"1", 5), version_of(b'{"id": 2, "a": 1}', b"2", 5)
    assert (changed.id_key == one.id_key, changed.digest == one.digest) == (True, False)
    assert other.id_key != one.id_key
    unnamed = [version_of(record, None, 5) for record in (b'{"a": 1}', b'{"a": 2}')]
    assert unnamed[0].id_key != unnamed[1].id_key


def test_a_room_counts_new_records_and_passes_over_known_ones() -> None:
    def overlap(floor_us: int | None, known: dict[bytes, bytes]) -> Overlap:
        mark = Mark(1, floor_us)
        return Overlap(mark, Dates("at"), "/id", 0, lookup=lambda _: known, now=lambda: ChangingVendor.now)

    records = [json.dumps({"id": number, "at": 1_700_000_000 + number}).encode() for number in range(6)]
    before = overlap(None, {})
    before.note_call(page_of("Fri, 01 Mar 2024 09:00:00 GMT"))
    before.choose([records[0], records[1], records[4]], None, Selection().choose)
    known = {
        version_of(records[at], str(at).encode(), 0).id_key: version_of(records[at], str(at).encode(), 0).digest
        for at in (0, 1, 4)
    }
    chosen = overlap(0, known).choose(records, 2, Selection().choose)
    assert (list(chosen.records), chosen.consumed) == ([records[2], records[3]], 5)
