"""The API under load, with few rows and with a million; claims and sweeps on full tables."""

import json
import statistics
import time
from collections.abc import Callable

from app.bootstrap import build_context
from app.config import load_settings
from app.db import slices
from app.services.context import Context
from app.services.sweep import sweep
from tests.benchmarks.bench import Bench
from tests.benchmarks.full_tables import fill
from tests.benchmarks.load import Call, Load, drive, quantile
from tests.benchmarks.product import PREFIX, ProductUnderTest

_INSTANCES = 20
_ROWS, _DUE = 1_000_000, 10_000
_RARE = "?where=job_status%3D'ABORTED'"
_CLAIMS = 1000


def run(bench: Bench) -> None:
    with ProductUnderTest(bench.folder) as under_test:
        urls = [f"http://127.0.0.1:9/{number}" for number in range(_INSTANCES)]  # never called: no worker runs
        authorizations = [under_test.connect(url) for url in urls]
        _empty(bench, under_test, authorizations)
        _full(bench, under_test, authorizations)


def _empty(bench: Bench, under_test: ProductUnderTest, authorizations: list[str]) -> None:
    submitted = _drive(bench, under_test, lambda n: _submission(authorizations[n % _INSTANCES]), per_s=200)
    rows = under_test.rows(
        "select j.id, i.name from jobs j join instances i on i.id = j.instance_id order by j.number desc limit 2000"
    )
    own = [(row["id"], under_test.connect(row["name"])) for row in rows]
    read = _drive(bench, under_test, lambda n: _status(*own[n * 7 % len(own)]), per_s=500)
    note = f"200 submissions a second: {submitted}. 500 status reads a second: {read}."
    bench.say(note)
    measures = {
        "api.submit_p99": [submitted.quantile_ms(0.99)],
        "api.submit_rate": [submitted.answered_per_s],
        "api.status_rate": [read.answered_per_s],
    }
    bench.results.add("api", measures, title="API load, workers stopped", note=note)


def _full(bench: Bench, under_test: ProductUnderTest, authorizations: list[str]) -> None:
    settings = load_settings(under_test.product.settings)
    # The sweeper would send hints for what this measures itself.
    under_test.sweeper.terminate()
    ids = fill(under_test.pg.url, id_key=settings.id_key, count=bench.number(_ROWS), due_count=bench.number(_DUE))
    owners = {row["id"]: row["name"] for row in under_test.rows(_OWNERS, ids[:: max(1, len(ids) // 500)])}
    own = [(job_id, under_test.connect(name)) for job_id, name in owners.items()]
    listed = _drive(bench, under_test, lambda n: _list(authorizations[n % _INSTANCES]), per_s=50)
    narrowed = _drive(bench, under_test, lambda n: _list(authorizations[n % _INSTANCES], _RARE), per_s=50)
    read = _drive(bench, under_test, lambda n: _status(*own[n % len(own)]), per_s=100)
    ctx = build_context(settings)
    try:
        claims_ms = _claims(ctx, bench.number(_CLAIMS))
        sweep_s = _sweeps(ctx, bench.number(_DUE))
    finally:
        ctx.db.close()
    claim_p99 = quantile(claims_ms, 0.99)
    note = (
        f"{bench.number(_ROWS):,} jobs. 50 /bulk/jobs a second: {listed}; of a state that no job has: {narrowed}."
        f" 100 /status a second: {read}. Claim: p50 {statistics.median(claims_ms):.2f} ms, p99 {claim_p99:.2f} ms."
        f" Sweep with {bench.number(_DUE):,} due:"
        f" {', '.join(f'{name} {seconds:.3f} s' for name, seconds in sweep_s.items())}."
    )
    bench.say(note)
    measures = {
        "api.jobs_p99": [listed.quantile_ms(0.99)],
        "api.narrow_p99": [narrowed.quantile_ms(0.99)],
        "api.status_p99": [read.quantile_ms(0.99)],
        "api.claim_p99": [claim_p99],
        "api.sweep": [max(sweep_s.values())],
    }
    bench.results.add("api_full", measures, title="A million jobs in the tables", note=note)


_OWNERS = "select j.id, i.name from jobs j join instances i on i.id = j.instance_id where j.id = any(%s)"


def _drive(bench: Bench, under_test: ProductUnderTest, call: Callable[[int], Call], *, per_s: float) -> Load:
    seconds = max(2.0, 20 * min(1.0, bench.scale))
    drive(under_test.web.url, call, per_s=20, seconds=1)  # connections to PostgreSQL, prepared statements
    done = drive(under_test.web.url, call, per_s=per_s, seconds=seconds)
    if done.failures:
        raise RuntimeError(f"of {len(done.waits_s)} calls failed: {done.failures}")
    return done


def _submission(authorization: str) -> Call:
    body = {"objectName": "records", "format": "application/jsonl", "pageSize": 200}
    return Call(f"{PREFIX}/bulk/download", authorization, json.dumps(body).encode())


def _status(job_id: int, authorization: str) -> Call:
    return Call(f"{PREFIX}/bulk/{job_id}/status", authorization)


def _list(authorization: str, query: str = "") -> Call:
    return Call(f"{PREFIX}/bulk/jobs{query}", authorization)


def _claims(ctx: Context, count: int) -> list[float]:
    """Milliseconds of each claim of a due slice."""
    with ctx.db.connection() as conn:
        due = conn.execute("select id from slices where next_run_at <= now() order by id limit %s", (count,)).fetchall()
    times_ms = []
    for row in due:
        started = time.perf_counter()
        with ctx.db.connection() as conn:
            claim = slices.claim(conn, row["id"], worker_id=None, lease_s=30)
        times_ms.append((time.perf_counter() - started) * 1000)
        assert claim is not None
    with ctx.db.connection() as conn:
        conn.execute("update slices set lease_expires_at = null where lease_expires_at is not null")
    return times_ms


def _sweeps(ctx: Context, due_count: int) -> dict[str, float]:
    """Seconds of one pass: with that many slices due, and with that many held by a worker that died."""

    def once() -> float:
        started = time.perf_counter()
        sweep(ctx)
        return time.perf_counter() - started

    due_s = statistics.median(once() for _ in range(5))
    with ctx.db.connection() as conn:
        row = conn.execute(
            "insert into workers (name, slots, version, seen_at) values ('dead', 16, '0', now() - interval '1 minute')"
            " returning id"
        ).fetchone()
        assert row is not None
        conn.execute(
            "update slices set worker_id = %s, lease_expires_at = now() + interval '30 s' where id in"
            " (select id from slices where next_run_at is not null limit %s)",
            (row["id"], due_count),
        )
    return {"due": due_s, "held by the dead": once()}
