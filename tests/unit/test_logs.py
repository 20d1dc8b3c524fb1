"""A secret that finds its way into a log call does not find its way into the log."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from app.logs import configure_logs, redact

CANARY = "c4nary-S3cret/Value+0123456789"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """What went to standard error."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    handlers, level = logging.root.handlers[:], logging.root.level
    configure_logs(log_format="json", level="DEBUG", process="test")
    structlog.configure(cache_logger_on_first_use=False)  # else the loggers of modules stay so for all later tests
    yield stream.getvalue
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://haulage:{CANARY.replace('/', '%2F')}@db:5432/haulage refused",
        f"connection failed: host=db password={CANARY} dbname=x",
        f"GET https://vendor.test/list?api_key={CANARY}&page=1 answered 500",
        f"Authorization: Bearer {CANARY}",
        f"Authorization: Basic {CANARY}",
        f"Authorization: User {CANARY}, Organization {CANARY}, Element {CANARY}",
        f'{{"name": "x", "client_secret": "{CANARY}"}}',
        f"{{'access_token': '{CANARY}'}}",
        f"X-Api-Key: {CANARY}",
        "signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ],
)
def test_secrets_in_a_text_are_masked(text: str) -> None:
    shown = redact(text)
    assert CANARY not in shown
    assert CANARY.replace("/", "%2F") not in shown
    assert "MfKQ9r8GKYqr" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "Workers died 5 times in a row at the same position",
        "HTTP 503: the vendor is unavailable.",
        "object jobs/17/1/1/00000000-3-ab12.jsonl in file:///var/store is missing",
        "https://vendor.test/list",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_no_way_into_a_line_leads_past_the_mask(written: Callable[[], str]) -> None:
    log = structlog.get_logger()
    log.info("tried", url=f"https://u:{CANARY.replace('/', '')}@vendor.test/?token={CANARY}")
    log.info("tried", password=CANARY, api_key=CANARY, Authorization=f"Bearer {CANARY}")
    log.info("tried", headers={"Authorization": f"Basic {CANARY}", "Accept": "*/*"}, rows=[{"token": CANARY}])
    log.info("tried", error=ValueError(f"password={CANARY}"))
    log.info("sent Authorization: Bearer " + CANARY)  # noqa: G003 - it is what must not matter
    logging.getLogger("library").warning("sent %s", f"Authorization: Bearer {CANARY}")
    try:
        int(f"https://x.test/?secret={CANARY}")
    except ValueError:
        log.exception("failed")
    structlog.contextvars.bind_contextvars(cookie=CANARY)
    log.info("tried")

    text = written()
    assert CANARY not in text
    assert CANARY.replace("/", "") not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == 8
    assert {line["process"] for line in lines} == {"test"}
    assert "ValueError" in lines[6]["exception"]
    assert lines[2]["headers"]["Accept"] == "*/*"


def test_a_line_is_one_json_object_whoever_writes_it(written: Callable[[], str]) -> None:
    structlog.get_logger().info("job.ended", job=7, status="COMPLETED")
    logging.getLogger("celery").info("ready")
    ours, theirs = [json.loads(line) for line in written().splitlines()]
    assert (ours["event"], ours["job"], ours["level"]) == ("job.ended", 7, "info")
    assert (theirs["event"], theirs["level"]) == ("ready", "info")
    assert ours["timestamp"].endswith("Z")
