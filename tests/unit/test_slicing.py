"""Windows of a job's range: a partition of time, and each record counted by one slice."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.connectors.date_filters import date_params, unit_ns
from app.connectors.model import DateFilter
from app.connectors.registry import parse_document
from app.connectors.spec import ConnectorInvalidError, load_connector
from app.domain.criteria import Child, DownloadCriteria
from app.domain.instants import NS_A_DAY, NS_A_SECOND, parse_instant
from app.domain.selection import Selection, Window
from app.domain.slicing import SliceSelection, Span, cut, slice_window
from app.services.slicing import asked_of_vendor, query_of, spans_of
from tests.fakes.list_vendor import document

DAY_S = 86_400.0
NOW = datetime(2026, 11, 22, tzinfo=UTC)
FORMS = ("iso", "datetime", "space", "date", "epoch", "epoch_ms")

instants = st.integers(parse_instant("1970-01-02") or 0, parse_instant("2200-01-01") or 0)
grains = st.sampled_from([1, 1_000_000, NS_A_SECOND, NS_A_DAY])


class TestCutting:
    @given(st.tuples(instants, instants), st.integers(1, 40), st.integers(1, 10 * NS_A_DAY), grains)
    def test_the_windows_are_the_range_without_gap_or_overlap(
        self, ends: tuple[int, int], most: int, shortest_ns: int, grain_ns: int
    ) -> None:
        whole = Span(min(ends), max(ends) + 1)
        spans = cut(whole, most=most, shortest_ns=shortest_ns, grain_ns=grain_ns)
        assert len(spans) <= most
        assert len(spans) != 1
        for span in spans:
            assert span.start_ns < span.end_ns
        if spans:
            assert (spans[0].start_ns, spans[-1].end_ns) == (whole.start_ns, whole.end_ns)
            assert all(before.end_ns == after.start_ns for before, after in pairwise(spans))
            assert all(span.end_ns % grain_ns == 0 for span in spans[:-1])
            lengths = [span.end_ns - span.start_ns for span in spans]
            assert min(lengths) >= shortest_ns - grain_ns
            assert max(lengths) - min(lengths) <= 2 * grain_ns or grain_ns > shortest_ns

    def test_as_many_as_asked_where_there_is_room(self) -> None:
        assert len(cut(Span(0, 80 * NS_A_DAY), most=8, shortest_ns=NS_A_DAY)) == 8
        assert len(cut(Span(0, 3 * NS_A_DAY), most=8, shortest_ns=NS_A_DAY)) == 3
        assert cut(Span(0, NS_A_DAY), most=8, shortest_ns=NS_A_DAY) == ()
        assert cut(Span(0, 80 * NS_A_DAY), most=1, shortest_ns=1) == ()

    def test_dates_that_no_column_holds_are_not_cut(self) -> None:
        first = parse_instant("0001-01-01")
        assert first is not None
        assert cut(Span(first, 0), most=8, shortest_ns=1) == ()


EDGES = [
    "2024-01-01",
    "2024-01-04T23:59:59.999999999Z",
    "2024-01-05",
    "2024-01-09T12:00:00Z",
    "2023-12-31",
    "2024-01-17",
]
dated = st.sampled_from([*EDGES, "2024-01-16T23:59:59Z", "2024-01-12T06:00:00+02:00", "2024-01-07"])


class TestWhoCountsARecord:
    @given(
        st.lists(st.one_of(dated, st.none()), max_size=20),
        st.integers(2, 6),
        st.booleans(),
    )
    def test_each_dated_record_is_delivered_or_counted_once_even_if_every_slice_gets_all(
        self, dates: list[str | None], most: int, has_fields: bool
    ) -> None:
        window = Window("at", parse_instant("2024-01-01"), (parse_instant("2024-01-17") or 0) - 1)
        assert window.start_ns is not None
        assert window.end_ns is not None
        spans = cut(Span(window.start_ns, window.end_ns + 1), most=most, shortest_ns=1, grain_ns=NS_A_DAY)
        records = [json.dumps({"id": n, "at": at}).encode() for n, at in enumerate(dates)]
        fields = ("id",) if has_fields else ()
        whole = Selection(fields, window=window).apply(records)

        parts = [
            SliceSelection(window, span, Selection(fields, window=slice_window(window, span))).apply(records)
            for span in spans
        ]

        assert sorted(bytes(r) for part in parts for r in part.records) == sorted(bytes(r) for r in whole.records)
        assert sum(part.filtered for part in parts) == whole.filtered
        assert {part.undated for part in parts} == {whole.undated}
        assert {part.consumed for part in parts} == {len(records)}


def instant_of(form: str, text: str) -> int:
    """What a vendor understands."""
    if form in {"epoch", "epoch_ms"}:
        return int(text) * (NS_A_SECOND if form == "epoch" else 1_000_000)
    instant = parse_instant(text)
    assert instant is not None
    return instant


class TestTheRangeThatIsAsked:
    @given(
        st.tuples(instants, instants),
        st.sampled_from(FORMS),
        st.booleans(),
        st.booleans(),
        st.sampled_from([0.0, 1.5, DAY_S]),
        instants,
    )
    def test_it_is_never_narrower_than_what_is_wanted(
        self, ends: tuple[int, int], form: str, from_excluded: bool, to_excluded: bool, margin_s: float, at: int
    ) -> None:
        start, end = min(ends), max(ends)
        spec = DateFilter("a", "b", form, from_excluded, to_excluded, margin_s)  # type: ignore[arg-type]
        unit = unit_ns(spec)
        params = date_params(spec, start, end)
        low, high = instant_of(form, params["a"]), instant_of(form, params["b"])
        for wanted in (start, end, min(max(at, start), end)):
            assert low < wanted if from_excluded else low <= wanted
            assert wanted < high if to_excluded else wanted <= high
            # The same for a vendor that compares whole days, seconds or milliseconds.
            assert low < wanted // unit * unit if from_excluded else low <= wanted // unit * unit
            assert wanted // unit * unit < high if to_excluded else wanted // unit * unit <= high
        room = unit + margin_s * NS_A_SECOND
        assert start - low <= room + from_excluded * unit
        assert high - end <= room

    @pytest.mark.parametrize(
        ("form", "expected"),
        [
            ("iso", {"since": "2024-02-29T00:00:00Z", "until": "2024-03-01T08:30:01Z"}),
            ("datetime", {"since": "2024-02-29T00:00:00", "until": "2024-03-01T08:30:01"}),
            ("space", {"since": "2024-02-29 00:00:00", "until": "2024-03-01 08:30:01"}),
            ("date", {"since": "2024-02-29", "until": "2024-03-02"}),
            ("epoch", {"since": "1709164800", "until": "1709281801"}),
            ("epoch_ms", {"since": "1709164800000", "until": "1709281800251"}),
        ],
    )
    def test_forms(self, form: str, expected: dict[str, str]) -> None:
        spec = DateFilter("since", "until", form, is_to_exclusive=True)  # type: ignore[arg-type]
        assert date_params(spec, parse_instant("2024-02-29"), parse_instant("2024-03-01T08:30:00.250Z")) == expected

    def test_an_open_end_and_one_that_cannot_be_written_are_not_sent(self) -> None:
        spec = DateFilter("since", "until", "date")
        assert date_params(spec, None, None) == {}
        assert date_params(spec, parse_instant("2024-01-01"), parse_instant("9999-12-31T23:59:59Z")) == {
            "since": "2024-01-01"
        }
        assert date_params(DateFilter("", "until"), 0, 0) == {"until": "1970-01-01T00:00:00Z"}


DATES = {"at": {"from": "since", "to": "until", "slices": {}}, "seen": {"from": "seen_since"}}
LISTED = load_connector(document("page", dates=DATES)).objects[0].list
RANGE = {"date_from": "2024-01-01", "date_to": "2024-03-20", "filter_date_field": "at"}


def asked(**criteria: object) -> DownloadCriteria:
    return DownloadCriteria("records", **{**RANGE, **criteria})  # type: ignore[arg-type]


class TestWhichJobsAreCut:
    def test_one_with_both_ends_in_the_past(self) -> None:
        spans = spans_of(LISTED, asked(), most=8, now=NOW)
        assert len(spans) == 8
        assert spans[0].start_ns == parse_instant("2024-01-01")
        assert spans[-1].end_ns == parse_instant("2024-03-21"), "the day of `to` belongs to the range"

    @pytest.mark.parametrize(
        "criteria",
        [
            {"limit": 10},
            {"api_limit": 10},
            {"date_from": None},
            {"date_to": None},
            {"date_to": "2026-11-22"},
            {"date_to": "2030-01-01"},
            {"filter_date_field": "seen"},
            {"filter_date_field": "other"},
            {"query": {"since": "yesterday"}},
            {"date_from": "2024-03-20"},
            {"child": Child("notes", "id")},
        ],
    )
    def test_and_no_other(self, criteria: dict[str, object]) -> None:
        assert spans_of(LISTED, asked(**criteria), most=8, now=NOW) == ()

    def test_the_vendor_is_asked_for_the_range_of_any_job(self) -> None:
        query = {"a": "b"}
        both = {"since": "2024-01-01T00:00:00Z", "until": "2024-03-21T00:00:00Z"}
        assert query_of(LISTED, asked(query=query, limit=1)) == both | query
        assert asked_of_vendor(LISTED, asked()) == ("from", "to")
        assert query_of(LISTED, asked(filter_date_field="seen")) == {"seen_since": "2024-01-01T00:00:00Z"}
        assert asked_of_vendor(LISTED, asked(filter_date_field="seen")) == ("from",)
        for criteria in (asked(filter_date_field="other"), asked(query={"since": "x"}), DownloadCriteria("records")):
            assert query_of(LISTED, criteria) == criteria.query
            assert asked_of_vendor(LISTED, criteria) == ()

    def test_a_slice_asks_for_its_window(self) -> None:
        [first, *_, last] = spans_of(LISTED, asked(), most=8, now=NOW)
        assert query_of(LISTED, asked(), first) == {"since": "2024-01-01T00:00:00Z", "until": "2024-01-11T00:00:00Z"}
        assert query_of(LISTED, asked(), last) == {"since": "2024-03-11T00:00:00Z", "until": "2024-03-21T00:00:00Z"}


class TestTheDeclaration:
    @pytest.mark.parametrize(
        ("dates", "pointer", "accepted"),
        [
            ("{at: {as: iso}}", "/dates/at", "needs `from` or `to`"),
            ("{at: {from: a, to: a}}", "/dates/at/to", "accepted: another one"),
            ("{at: {from: a, slices: {}}}", "/dates/at/slices", "needs both"),
            ("{at: {from: a, to: b, slices: {at_most: 1}}}", "/dates/at/slices/at_most", "accepted: 2 to 1000"),
            ("{at: {from: a, as: excel}}", "/dates/at/as", "accepted: iso, datetime, space, date, epoch, epoch_ms"),
            ("{at: {from: a, to_is: maybe}}", "/dates/at/to_is", "accepted: inclusive, exclusive"),
            ("{at: {from: page}}", "/dates", "sets page, which `params`, `page`, `select` or `where` sets already"),
            ("{at: {from: a, split: 1d}}", "/dates/at/split", "is not a key here"),
        ],
    )
    def test_what_is_wrong_is_named(self, dates: str, pointer: str, accepted: str) -> None:
        with pytest.raises(ConnectorInvalidError) as caught:
            load_connector(document("page", dates=parse_document(f"dates: {dates}")["dates"]))
        [problem] = caught.value.problems
        assert problem.pointer == f"/objects/records/list{pointer}"
        assert accepted in problem.message

    def test_a_parameter_of_the_defaults_is_refused(self) -> None:
        connector = document("page", dates={"at": {"from": "since"}}) | {"defaults": {"params": {"since": "x"}}}
        with pytest.raises(ConnectorInvalidError, match="sets since, which `defaults` sets already"):
            load_connector(connector)
