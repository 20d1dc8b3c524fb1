"""``python -m app.sandbox``: run the sandbox until interrupted."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

from app.sandbox.guide import curl_lines, guide
from app.sandbox.server import SandboxServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, serve until SIGINT or SIGTERM, return the exit code."""
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server = SandboxServer(
        options.host, options.port, records=options.records, seed=options.seed, page_max=options.page_max
    )
    try:
        server.start()
    except OSError as problem:
        sys.stderr.write(
            f"cannot listen on {options.host}:{options.port}: {os.strerror(problem.errno or 0)}; try --port 0\n"
        )
        return 1
    sys.stdout.write(
        f"sandbox listening on {server.url}\n{curl_lines(server.url)}\n  curl {server.url}/    # the manual\n"
    )
    sys.stdout.flush()
    stop.wait()
    server.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="haulage sandbox",
        description="A small vendor to try downloads against; it misbehaves on request.",
        epilog=guide("http://127.0.0.1:8001"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8001, help="port; 0 takes any free one (default %(default)s)")
    parser.add_argument("--records", type=int, default=1000, help="records of each account (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other records (default %(default)s)")
    parser.add_argument("--page-max", type=int, default=1000, help="largest page served (default %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
