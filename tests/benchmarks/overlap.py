"""Row 6: what asking ahead gains where each page takes 50 ms to come."""

from tests.benchmarks import tables
from tests.benchmarks.bench import Bench
from tests.benchmarks.processes import MB
from tests.benchmarks.product import ProductUnderTest, Variant
from tests.benchmarks.race import Lap, as_json, product, rounds, script
from tests.benchmarks.tables import rate, ratios

_LIMIT = "limit_loop"
_AHEAD = (4, 8)


def run(bench: Bench) -> None:
    variants = {f"ahead{count}": Variant({"HAULAGE_CALLS_AHEAD": str(count)}) for count in _AHEAD}
    count = bench.records(80_000, 200)
    bench.vendor.pages.make_cursor(count, 200)
    bench.vendor.pages.make_numbered(count, 200)
    lap = Lap(bench.vendor.url("slow50", count), count, 200)
    with ProductUnderTest(bench.folder, variants) as under_test:
        contenders = [
            script(_LIMIT, folder=bench.folder),
            *(product(under_test, name, name=name, objectName="records_page") for name in variants),
        ]
        bench.say(f"{count:,} records, 200 a page, numbered pages at 50 ms, {bench.rounds} rounds")
        done = rounds(contenders, lap, bench.rounds, bench.say)
    table = tables.table(done, _LIMIT)
    bench.say("\n".join(table))
    measures = {f"overlap.{name}": ratios(done, name, _LIMIT, rate) for name in variants}
    rss = max(run.peak_rss_bytes for runs in done for run in runs if run.name != _LIMIT) / MB
    note = f"{count:,} records, {len(done)} rounds. The limit loop has one call under way. Peak RSS {rss:.0f} MB."
    bench.results.add(
        "overlap", measures, title="Numbered pages at 50 ms, calls ahead", note=note, table=table, rounds=as_json(done)
    )
