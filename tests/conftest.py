"""Plugins only: every fixture lives in tests/fixtures, one file per thing."""

from tests.fixtures.destinations import PLACES

pytest_plugins = [
    "tests.fixtures.postgres",
    "tests.fixtures.valkey",
    "tests.fixtures.processes",
    "tests.fixtures.outbox",
    "tests.fixtures.receiver",
    "tests.fixtures.proxy",
    "tests.fixtures.openssh",
    "tests.fixtures.vendor",
    "tests.fixtures.factories",
    "tests.fixtures.stack",
    "tests.fixtures.clients",
    "tests.fixtures.door",
    "tests.fixtures.engine",
    "tests.fixtures.uploads",
    "tests.fixtures.examples",
    "tests.fixtures.gcs",
    "tests.fixtures.azurite",
    *(f"tests.fixtures.destinations.{name}" for name in PLACES),
]
