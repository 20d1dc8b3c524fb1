"""The demo's vendor: Datasette, a server that we did not write, over the flights."""

import sys
from pathlib import Path

from app.local import ports
from app.local.rest import Api
from app.local.stack import Stack

_SQL_LIMIT_MS = 10_000  # counting 336,776 rows on a busy laptop; all else is as Datasette comes


class Vendor:
    """`port` is free when this is made; `start` takes it."""

    def __init__(self, database: Path) -> None:
        self.port = ports.free_port()
        self._database = database
        self._log: Path | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def configuration(self) -> dict[str, str]:
        """What the catalogue's `datasette` asks of an instance."""
        return {"base_url": self.url, "database": self._database.stem}

    @property
    def network(self) -> str:
        """The HAULAGE_ALLOW_NETWORKS entry that lets the product call it."""
        return f"http://127.0.0.1/32:{self.port}"

    def start(self, stack: Stack) -> None:
        """As one more supervised process. Raises LocalError."""
        flags = ["--setting", "sql_time_limit_ms", str(_SQL_LIMIT_MS)]
        where = ["--host", "127.0.0.1", "--port", str(self.port)]
        stack.run("vendor", [sys.executable, "-m", "datasette", "serve", "-i", str(self._database), *where, *flags])
        stack.wait_for("vendor", f"{self.url}/-/versions.json")
        self._log = stack.home.logs / "vendor.log"

    def version(self) -> str:
        return str(Api(self.url).get("/-/versions.json")["datasette"]["version"])

    def call_count(self) -> int:
        """Reads of the flights that the vendor itself has logged."""
        if self._log is None:
            return 0
        return sum('"GET ' in line and "/flights.json" in line for line in self._log.read_text().splitlines())
