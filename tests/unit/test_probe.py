"""What `haulage connector test` says about a vendor."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from app.connectors.spec import ConnectorInvalidError
from app.errors import InvalidInputError
from app.http_client import Beat, Headers, Request, Response, TransportError
from app.services.probe import ProbeReport, run_probe
from tests.fakes.list_vendor import ListVendor, document
from tests.fakes.sending import Deferred


def probe(vendor: Any, name: str = "cursor", **options: Any) -> ProbeReport:
    list_options = options.pop("list_options", {})
    return run_probe(json.dumps(document(name, **list_options)), {}, vendor, page_size=10, **options)


def text_of(report: ProbeReport) -> str:
    return "\n".join(report.lines())


def test_a_good_vendor_is_usable_and_its_facts_are_told() -> None:
    vendor = ListVendor(25)
    report = probe(vendor, list_options={"total": "/total"})
    assert report.exit_code == 0
    assert report.call_count == len(vendor.calls) == 3
    for fact in (
        "page 2: 10 records",
        "its cursor is new",
        "total says 25",
        "all 20 ids are different",
        "exactly",
        "the same",
    ):
        assert fact in text_of(report)


def test_the_end_of_the_list_is_told() -> None:
    assert "the list ends after page 3" in text_of(probe(ListVendor(25), page_count=9))


def test_a_list_of_one_page_may_be_a_place_of_the_next_one_that_is_wrong() -> None:
    report = probe(ListVendor(25), list_options={"page": {"at": "/nxt"}})
    assert "note  the list ends after page 1, no next one was found at '/nxt'" in text_of(report)


def test_a_size_that_the_connector_cannot_send_is_told() -> None:
    assert "page size 10 is not sent" in text_of(probe(ListVendor(5), "none"))


def test_a_size_that_is_cut_is_told_with_what_to_declare() -> None:
    assert "declare size_max: 4" in text_of(probe(ListVendor(25, page_max=4)))


def test_a_total_that_lies_is_told() -> None:
    report = probe(ListVendor(5, total=9), list_options={"total": "/total"})
    assert "the total says 9, and 5 records came" in text_of(report)


def test_a_setting_that_the_connector_does_not_have_is_refused_with_those_it_has() -> None:
    text = json.dumps({**document("cursor"), "auth": {"kind": "bearer"}})
    with pytest.raises(InvalidInputError, match="no setting 'tokn'; accepted: token"):
        run_probe(text, {"tokn": "x"}, ListVendor(5))


class Stuck(ListVendor):
    """Ignores where the page begins."""

    def request(self, request: Request, beat: Beat | None = None) -> Response:
        return super().request(Request("GET", request.url.replace("offset=10", "offset=0")), beat)


def test_a_vendor_that_ignores_the_position_is_not_usable() -> None:
    report = probe(Stuck(25), "offset")
    assert report.exit_code == 1
    assert "A page came twice" in text_of(report)


class Anonymous(ListVendor):
    """Takes wrong credentials for nobody's, and shows what is public."""

    def request(self, request: Request, beat: Beat | None = None) -> Response:
        answer = super().request(request, beat)
        return structs.replace(answer, headers=Headers([("X-User", "anonymous")]))


def test_wrong_credentials_that_get_a_public_list_are_told_where_that_is_declared() -> None:
    rule = {"when": {"status": 200, "header": "X-User", "equals": "anonymous"}, "do": "refresh_auth", "class": "auth"}
    connector = {**document("cursor"), "errors": [{**rule, "message": "the credentials are nobody's"}]}
    report = run_probe(json.dumps(connector), {}, Anonymous(25))
    assert report.exit_code == 1
    assert "the credentials are nobody's" in text_of(report)


class Unreachable(Deferred):
    """Cannot be reached."""

    def request(self, request: Request, beat: Beat | None = None) -> Response:
        raise TransportError("dns", f"no {request.method} {beat}")


def test_a_vendor_that_cannot_be_reached_is_not_usable() -> None:
    report = probe(Unreachable())
    assert report.exit_code == 1
    assert "could not be resolved" in text_of(report)


def test_records_without_the_declared_id_are_told() -> None:
    connector = document("cursor")
    connector["objects"]["records"]["id"] = "/uuid"
    report = run_probe(json.dumps(connector), {}, ListVendor(5), page_size=10)
    assert report.exit_code == 1
    assert "5 records have nothing at id '/uuid'" in text_of(report)


def test_a_connector_for_any_object_asks_for_a_name() -> None:
    connector = document("cursor")
    connector["objects"] = {"*": connector["objects"]["records"]}
    vendor = ListVendor(5)
    assert run_probe(json.dumps(connector), {}, vendor).exit_code == 1
    assert vendor.calls == []
    assert run_probe(json.dumps(connector), {}, vendor, objects=["anything"], page_size=10).exit_code == 0


def test_a_file_that_is_wrong_calls_nobody() -> None:
    vendor = ListVendor(5)
    with pytest.raises(ConnectorInvalidError):
        run_probe("format: 2", {}, vendor)
    with pytest.raises(InvalidInputError, match="accepted: records"):
        probe(vendor, objects=["Records"])
    assert vendor.calls == []


def test_a_connector_that_only_writes_has_nothing_to_probe() -> None:
    connector = document("cursor")
    connector["objects"]["drops"] = {"create": {"path": "/drops"}}
    vendor = ListVendor(5)
    with pytest.raises(InvalidInputError, match="'drops' can only be written"):
        run_probe(json.dumps(connector), {}, vendor, objects=["drops"])
    del connector["objects"]["records"]
    report = run_probe(json.dumps(connector), {}, vendor)
    assert report.exit_code == 1
    assert "no list of its own to read" in text_of(report)
    assert vendor.calls == []
