"""`make up`: the whole product on this machine, until Ctrl-C. The data stays and the next start goes on with it."""

import signal
import sys
import threading

from app.errors import HaulageError
from app.local import ports
from app.local.home import Home, default_folder
from app.local.stack import Stack
from app.local.tenant import Tenant, create_tenant, organisation_exists
from app.local.tour import guide, later_guide, tour

_SANDBOX_PORT = 8001
_ORGANISATION, _USER = "local", "you"


def main() -> int:
    try:
        with Home(default_folder()) as home:
            _run_until_stopped(home)
    except HaulageError as error:
        print(f"\nHaulage did not start: {error.message}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"\nHaulage did not start: {error}", file=sys.stderr)
        return 1
    return 0


def _run_until_stopped(home: Home) -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    kept = home.settings()
    sandbox_port = ports.free_port(_SANDBOX_PORT)
    if sandbox_port != _SANDBOX_PORT:
        print(f"Port {_SANDBOX_PORT} is taken; sandbox uses {sandbox_port}.")
    networks = ",".join(filter(None, [kept.get("HAULAGE_ALLOW_NETWORKS"), f"http://127.0.0.1/32:{sandbox_port}"]))
    print("Starting PostgreSQL, Valkey, API, worker, callbacks, sweeper, Flower, sandbox ...", flush=True)
    with Stack(home, {"HAULAGE_ALLOW_NETWORKS": networks}, print) as stack:
        sandbox_url = _start_sandbox(stack, sandbox_port)
        tenant = _first_tenant(stack)
        print(guide(stack, sandbox_url, flower_login=kept["FLOWER_BASIC_AUTH"]))
        print(tour(stack.api_url, sandbox_url, tenant) if tenant else later_guide(_ORGANISATION, _USER))
        print("Ctrl-C stops everything; `make up` goes on with the same data.", flush=True)
        stop.wait()
        print("\nStopping: running downloads checkpoint and hand back ...", flush=True)
    print("Stopped.")


def _start_sandbox(stack: Stack, port: int) -> str:
    stack.run("sandbox", [sys.executable, "-m", "app.sandbox", "--port", str(port)])
    stack.wait_for("sandbox", f"http://127.0.0.1:{port}/")
    return f"http://127.0.0.1:{port}"


def _first_tenant(stack: Stack) -> Tenant | None:
    """Made at the very first start; later ones cannot show its secrets again."""
    if organisation_exists(stack.environment, _ORGANISATION):
        return None
    return create_tenant(stack.environment, organisation=_ORGANISATION, user=_USER)


if __name__ == "__main__":
    sys.exit(main())
