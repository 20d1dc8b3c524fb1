"""``python -m app.sandbox``: run the sandbox until interrupted."""

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

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
        remedy = "; try --port 0" if problem.errno == errno.EADDRINUSE else ""
        sys.stderr.write(f"cannot listen on {options.host}:{options.port}: {_reason(problem)}{remedy}\n")
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
    parser.add_argument(
        "--port", type=_number(0, 65535), default=8001, help="port; 0 takes any free one (default %(default)s)"
    )
    parser.add_argument(
        "--records", type=_number(0, 10**8), default=1000, help="records of each account (default %(default)s)"
    )
    parser.add_argument(
        "--seed", type=_number(0, 2**63 - 1), default=0, help="another seed, other records (default %(default)s)"
    )
    parser.add_argument(
        "--page-max", type=_number(1, 10**6), default=1000, help="largest page served (default %(default)s)"
    )
    return parser


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{text!r} is not accepted: a whole number from {low} to {high}")
        return int(text)

    return read


def _reason(problem: OSError) -> str:
    """Of a name that cannot be resolved the number is negative, and only the text says what is wrong."""
    number = problem.errno or 0
    return os.strerror(number) if number > 0 else str(problem.strerror or problem)


if __name__ == "__main__":
    sys.exit(main())
