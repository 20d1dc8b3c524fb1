"""The sandbox: a small vendor that newcomers try and that the tests use as their fake vendor.

It serves the same deterministic records under every page kind and behind every auth kind, and imitates on demand
what real vendors do to clients. It stands alone: it imports nothing else of this product.

Two ways in::

    python -m app.sandbox --port 8001 --records 1000            # prints its URL and calls to try

    with SandboxServer(records=1000) as vendor:                 # in a test
        account = vendor.account("t1")
        account.configure(records=250, page_max=100,
                          habits={"total": "absent", "order": "newest_first"},
                          limits=[{"calls": 50, "per_s": 1, "tell": "retry_after"}],
                          faults=[{"calls": "3..5", "do": "status", "status": 503},
                                  {"rate": 0.2, "seed": 7, "do": "cut"}])
        ... GET f"{vendor.url}/cursor/records" with "Authorization: Bearer " + account.token ...
        assert account.calls == 4
        assert [entry.status for entry in account.log()] == [200, 200, 503, 200]
        assert downloaded == list(account.expected())

The whole vocabulary (settings, habits, limits, faults) stands in tables that check, apply and explain it:
``GET /``, ``--help``, ``GET /_control/vocabulary`` and docs/sandbox.md show them.

Modules: records (what), selection (which, in what order), dates (of which range), odata_filter ($filter), kinds (page
kinds), habits (how it always behaves), limits (rates), faults (when it fails), troubles (how it fails), auth, accounts
(state, counters, log), people (what was written), writes (the write side), settings, vocabulary (checks), pages (JSON,
gzip), wire (HTTP/1.1), vendor, control, guide, server.
"""

from app.sandbox.accounts import Account, LogEntry
from app.sandbox.records import Shape, expected_record
from app.sandbox.server import SandboxServer
from app.sandbox.vocabulary import BadDocumentError

__all__ = ["Account", "BadDocumentError", "LogEntry", "SandboxServer", "Shape", "expected_record"]
