"""One job cut into windows of time, on 1, 2 and 4 worker processes, from a vendor that takes 100 ms a page.

Each process has one slot, so that it works on one slice at a time: what is measured is what more processes gain.
"""

from datetime import timedelta

from tests.benchmarks import tables
from tests.benchmarks.bench import Bench
from tests.benchmarks.product import ProductUnderTest, Variant
from tests.benchmarks.race import Lap, as_json, product, rounds
from tests.benchmarks.records import RANGE
from tests.benchmarks.tables import rate, ratios

_SLICES = 8
_SIZE = 200
_NAMES = {1: "one", 2: "two", 4: "four"}


def run(bench: Bench) -> None:
    count = bench.records(80_000, _SIZE * _SLICES)
    bench.vendor.pages.make_windows(count, _SIZE, _SLICES)
    lap = Lap(bench.vendor.url("ranges100", count), count, _SIZE)
    criteria = {
        "from": f"{RANGE[0]:%Y-%m-%d}",
        "to": f"{RANGE[1] - timedelta(days=1):%Y-%m-%d}",
        "filterDateField": "updatedAt",
    }
    variants = {"single": Variant({"HAULAGE_WORKER_SLOTS": "1"})}
    settings = {"HAULAGE_SLICES": str(_SLICES), "HAULAGE_WORKER_SLOTS": "1"}
    with ProductUnderTest(bench.folder, variants, settings) as under_test:
        contenders = [
            product(under_test, "single", name=name, workers=workers, **criteria) for workers, name in _NAMES.items()
        ]
        bench.say(f"{count:,} records, {_SIZE} a page at 100 ms, {_SLICES} slices, {bench.rounds} rounds")
        done = rounds(contenders, lap, bench.rounds, bench.say)
    table = tables.table(done, "one")
    bench.say("\n".join(table))
    measures = {f"slices.{name}": ratios(done, name, "one", rate) for name in ("two", "four")}
    note = f"{count:,} records in {_SLICES} slices, {len(done)} rounds, worker processes of one slot each."
    bench.results.add(
        "slices", measures, title="One sliced job at 100 ms", note=note, table=table, rounds=as_json(done)
    )
