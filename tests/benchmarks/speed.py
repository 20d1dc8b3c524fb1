"""Rows 1 to 5 and 9: one job against the limit loop and the peers."""

from collections.abc import Mapping, Sequence

from tests.benchmarks import capacity, tables
from tests.benchmarks.bench import Bench
from tests.benchmarks.processes import MB
from tests.benchmarks.product import ProductUnderTest, Variant
from tests.benchmarks.race import Contender, Lap, Run, as_json, product, rounds, script
from tests.benchmarks.tables import cpu, rate, ratios

OURS, LIMIT = "haulage", "limit_loop"
_MORE = 2
"""Rounds of short contenders whose marks are ratios of two: one neighbour on the machine moves a few of them."""

_UNDURABLE = Variant(
    {"HAULAGE_CHECKPOINT_S": "3600", "HAULAGE_LEG_S": "3600", "HAULAGE_LEASE_S": "3600"},
    application="tests.benchmarks.undurable",
)


def run(bench: Bench) -> None:
    with ProductUnderTest(bench.folder, {"undurable": _UNDURABLE}) as under_test:
        page200(bench, under_test)
        durable(bench, under_test)
        page2000(bench, under_test)
        gzip2000(bench, under_test)
        slow50(bench, under_test)
        peers(bench, under_test)


def run_numbered(bench: Bench) -> None:
    """Row 1 again: a page-number list with a total, without latency, calls ahead as they are by default.

    The limit loop reads the same records by cursor.
    """
    lap = _lap(bench, "plain", 1_000_000, 200)
    bench.vendor.pages.make_numbered(lap.count, lap.size)
    with ProductUnderTest(bench.folder) as under_test:
        contenders = [script(LIMIT, folder=bench.folder), product(under_test, objectName="records_page")]
        done = _race(bench, lap, contenders, bench.rounds * _MORE)
    measures = {"numbered200.rate": ratios(done, OURS, LIMIT, rate)}
    _keep(bench, "numbered200", "Numbered, 200 a page, one job", done, measures)


def page200(bench: Bench, under_test: ProductUnderTest) -> None:
    """Rows 0, 1 (limit), 2 and 8 (200 a page)."""
    lap = _lap(bench, "plain", 1_000_000, 200)
    ahead = capacity.plain(bench.vendor, "plain", lap.count, 200)
    bench.say(
        f"vendor: {ahead.driven_per_s:,.0f} records/s to one client that reads nothing,"
        f" {ahead.records_per_core_s:,.0f} a core of its own"
    )
    done = _race(
        bench,
        lap,
        [
            script(LIMIT, folder=bench.folder),
            _checkpointed(bench, under_test),
            product(under_test),
        ],
        bench.rounds * _MORE,
    )
    measures = {
        "vendor.rate": [ahead.driven_per_s / limit for limit in tables.figures(done, LIMIT, rate)],
        "page200.rate": ratios(done, OURS, LIMIT, rate),
        "page200.cpu": ratios(done, OURS, LIMIT, cpu),
        "page200.rss": [run.peak_rss_bytes / MB for runs in done for run in runs if run.name == OURS],
    }
    note = f"The vendor gives {ahead.driven_per_s:,.0f} records/s to one client that reads nothing."
    _keep(bench, "page200", "Cursor, 200 a page, one job", done, measures, note)


def durable(bench: Bench, under_test: ProductUnderTest) -> None:
    """Row 4: checkpoints and fsync on against off. Each run has a fresh worker, so both begin alike."""
    lap = _lap(bench, "plain", 1_000_000, 200)
    done = _race(bench, lap, [product(under_test), product(under_test, "undurable", name="undurable")])
    measures = {
        "durable.time": [100 * (ratio - 1) for ratio in ratios(done, OURS, "undurable", lambda run: run.wall_s)],
        "durable.cpu": [100 * (ratio - 1) for ratio in ratios(done, OURS, "undurable", cpu)],
    }
    _keep(bench, "durable", "The price of durability", done, measures, against="undurable")


def page2000(bench: Bench, under_test: ProductUnderTest) -> None:
    """Rows 3 and 8 (2,000 a page)."""
    lap = _lap(bench, "plain", 1_000_000, 2000)
    contenders = [script(LIMIT, folder=bench.folder), _checkpointed(bench, under_test), product(under_test)]
    done = _race(bench, lap, contenders, bench.rounds * _MORE)
    measures = {
        "page2000.rate": ratios(done, OURS, LIMIT, rate),
        "page2000.cpu": ratios(done, OURS, LIMIT, cpu),
        "page2000.rss": [run.peak_rss_bytes / MB for runs in done for run in runs if run.name == OURS],
    }
    _keep(bench, "page2000", "Cursor, 2,000 a page, one job", done, measures)


def gzip2000(bench: Bench, under_test: ProductUnderTest) -> None:
    """Row 9: answers come packed; the limit loop lets libcurl inflate them."""
    lap = _lap(bench, "gzip", 1_000_000, 2000)
    contenders = [script(LIMIT, folder=bench.folder, options={"gzip": "1"}), product(under_test)]
    done = _race(bench, lap, contenders)
    _keep(bench, "gzip2000", "Packed answers, 2,000 a page", done, {"gzip2000.rate": ratios(done, OURS, LIMIT, rate)})


def slow50(bench: Bench, under_test: ProductUnderTest) -> None:
    """Row 5: each page takes 50 ms to come."""
    lap = _lap(bench, "slow50", 20_000, 200)
    seen = capacity.slow(bench.vendor, "slow50", lap.count, 300)
    bench.say(f"vendor at 50 ms, 300 clients: {seen.calls_per_s:,.0f} calls/s, p50 {seen.p50_ms:.1f} ms")
    done = _race(bench, lap, [script(LIMIT, folder=bench.folder), product(under_test)])
    note = f"300 clients at once get {seen.calls_per_s:,.0f} calls/s, p50 {seen.p50_ms:.1f}, p99 {seen.p99_ms:.1f} ms."
    _keep(bench, "slow50", "50 ms latency, one job", done, {"slow50.rate": ratios(done, OURS, LIMIT, rate)}, note)


def peers(bench: Bench, under_test: ProductUnderTest) -> None:
    """Row 1: what else there is."""
    lap = _lap(bench, "plain", 200_000, 200)
    database, broker = under_test.pg.url, f"{under_test.valkey.url[:-1]}5"
    contenders = [
        script(LIMIT, folder=bench.folder),
        product(under_test),
        script("requests_loop", folder=bench.folder),
        script(
            "celery_pages",
            folder=bench.folder,
            servers=lambda: [*under_test.groups["postgres"], *under_test.groups["valkey"]],
            options={"database_url": database, "broker_url": broker},
        ),
        script("dlt_rest", folder=bench.folder, python=bench.peers),
        script("airbyte_cdk", folder=bench.folder, python=bench.peers),
    ]
    done = _race(bench, lap, contenders)
    others = ("requests_loop", "celery_pages", "dlt_rest", "airbyte_cdk")
    _keep(
        bench,
        "peers",
        "Peers, cursor, 200 a page",
        done,
        {f"peers.{other}": ratios(done, OURS, other, rate) for other in others},
    )


def _checkpointed(bench: Bench, under_test: ProductUnderTest) -> Contender:
    return script(
        LIMIT,
        name="limit_loop-checkpoint",
        folder=bench.folder,
        servers=lambda: under_test.groups["postgres"],
        options={"checkpoint_s": "1", "database_url": under_test.pg.url},
    )


def _lap(bench: Bench, way: str, full: int, size: int) -> Lap:
    count = bench.records(full, size)
    bench.vendor.pages.make_cursor(count, size, is_packed=way == "gzip")
    return Lap(bench.vendor.url(way, count), count, size)


def _race(bench: Bench, lap: Lap, contenders: Sequence[Contender], round_count: int = 0) -> list[list[Run]]:
    count = round_count or bench.rounds
    bench.say(f"{lap.count:,} records, {lap.size} a page, {count} rounds")
    return rounds(contenders, lap, count, bench.say)


def _keep(
    bench: Bench,
    case: str,
    title: str,
    done: list[list[Run]],
    measures: Mapping[str, Sequence[float]],
    note: str = "",
    against: str = LIMIT,
) -> None:
    table = tables.table(done, against)
    note = f"{done[0][0].record_count:,} records, {len(done)} rounds. {note}".strip()
    bench.results.add(case, measures, title=title, note=note, table=table, rounds=as_json(done))
    bench.say("\n".join(table))
