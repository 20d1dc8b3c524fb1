"""Results over HTTP: compression, ranges, names, pages of data, and the rules of query jobs."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.api.paging import encode_token
from app.api.wsgi import create_app
from app.db import segments
from app.db.segments import Place
from app.domain.segments import segment_key
from app.storage.columns import ColumnScanner
from app.storage.segments import SegmentBuilder
from tests.fixtures.door import PREFIX, Door
from tests.integration.test_api_bulk import FailingStore, refused, without_id

FORMATS = ["application/jsonl", "application/json", "text/csv"]
NEXT = "elements-next-page-token"


def read(door: Door, job_id: int, path: str = "", **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return door.call("GET", f"/bulk/{job_id}{path}", headers=named)


def unpacked(answer: TestResponse) -> bytes:
    coding = answer.headers.get("Content-Encoding")
    if coding == "gzip":
        return gzip.decompress(answer.data)
    if coding is None:
        return bytes(answer.data)
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        (name,) = archive.namelist()
        assert f'filename="{name}.zip"' in answer.headers["Content-Disposition"]
        return archive.read(name)


def plant(door: Door, job_id: int, *parts: bytes, with_columns: bool = False) -> None:
    """Give the job these JSON Lines for its result, a segment each."""
    door.execute("delete from segments where job_id = %s", job_id)
    scanner = ColumnScanner() if with_columns else None
    for sequence, part in enumerate(parts):
        builder = SegmentBuilder("deflate", scanner=scanner)
        builder.add(part, part.count(b"\n"))
        built = builder.finish()
        key = segment_key(job_id, 1, 1, sequence, 1, "planted")
        door.ctx.store.put(key, built.data)
        door.execute(
            "insert into segments (job_id, run_number, slice_number, sequence, claim, object_key, encoding,"
            " record_count, plain_bytes, stored_bytes, crc32, columns)"
            " values (%s, 1, 1, %s, 1, %s, %s, %s, %s, %s, %s, %s)",
            job_id, sequence, key, built.encoding, built.record_count, built.plain_bytes, built.stored_bytes,
            built.crc32, list(built.columns),
        )  # fmt: skip
    records = sum(part.count(b"\n") for part in parts)
    door.execute("update runs set record_count = %s where job_id = %s", records, job_id)
    door.execute("update jobs set record_count = %s where id = %s", records, job_id)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(("coding", "suffix"), [("gzip", ".gz"), ("zip", ".zip")])
def test_a_compressed_result_says_so_in_header_and_name(door: Door, file_format: str, coding: str, suffix: str) -> None:
    job_id = door.fetched(format=file_format)
    plain = read(door, job_id)
    packed = read(door, job_id, Accept_Encoding=coding)

    assert packed.headers["Content-Encoding"] == coding
    assert unpacked(packed) == plain.data
    assert packed.headers["Content-Disposition"] == plain.headers["Content-Disposition"][:-1] + suffix + '"'
    assert packed.headers["Content-Type"] == plain.headers["Content-Type"] == file_format
    assert packed.headers["ETag"] != plain.headers["ETag"]
    headed = door.call("HEAD", f"/bulk/{job_id}", headers={"Accept-Encoding": coding})
    assert (headed.data, sorted(without_id(headed))) == (b"", sorted(without_id(packed)))
    if file_format == "application/jsonl":
        assert packed.headers["Content-Length"] == str(len(packed.data))


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("coding", ["", "gzip", "zip"])
def test_a_broken_off_download_is_taken_up_again(door: Door, file_format: str, coding: str) -> None:
    job_id = door.fetched(format=file_format, records=300, pageSize=100)
    whole = read(door, job_id, Accept_Encoding=coding)
    assert whole.headers["Accept-Ranges"] == "bytes"
    length = len(whole.data)

    for start in (0, 1, length // 2, length - 1):
        rest = read(door, job_id, Accept_Encoding=coding, Range=f"bytes={start}-", If_Range=whole.headers["ETag"])
        assert rest.status_code == 206
        assert rest.data == whole.data[start:]
        assert rest.headers["Content-Range"] == f"bytes {start}-{length - 1}/{length}"
        assert rest.headers["Content-Length"] == str(length - start)
        assert rest.headers["ETag"] == whole.headers["ETag"]

    part = read(door, job_id, Accept_Encoding=coding, Range="bytes=5-9")
    assert (part.status_code, part.data) == (206, whole.data[5:10])
    tail = read(door, job_id, Accept_Encoding=coding, Range="bytes=-7")
    assert (tail.status_code, tail.data) == (206, whole.data[-7:])


def test_a_range_behind_the_end_is_refused_with_the_length(door: Door) -> None:
    job_id = door.fetched()
    length = len(read(door, job_id).data)

    answer = read(door, job_id, Range=f"bytes={length}-")

    assert str(length) in refused(answer, 416)
    assert answer.headers["Content-Range"] == f"bytes */{length}"


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "items=0-1", "bytes=9-2", "bytes"])
def test_other_ranges_are_answered_with_the_whole(door: Door, wanted: str) -> None:
    job_id = door.fetched()

    answer = read(door, job_id, Range=wanted)

    assert (answer.status_code, answer.data) == (200, read(door, job_id).data)
    assert "Content-Range" not in answer.headers


def test_ranges_are_for_get_and_for_what_has_bytes(door: Door) -> None:
    job_id = door.fetched()
    headed = door.call("HEAD", f"/bulk/{job_id}", headers={"Range": "bytes=3-"})
    assert headed.status_code == 200
    assert headed.headers["Accept-Ranges"] == "bytes"
    empty = read(door, door.fetched(records=0), Range="bytes=0-")
    assert (empty.status_code, empty.data) == (200, b"")


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_old_revisions_copy_is_not_completed_with_bytes_of_the_new_one(door: Door, file_format: str) -> None:
    job_id = door.fetched(records=25, limit=10, format=file_format)
    old = read(door, job_id)
    door.call("PUT", f"/bulk/v3/{job_id}/restart")

    meanwhile = read(door, job_id, Range="bytes=20-", If_Range=old.headers["ETag"])
    assert (meanwhile.status_code, meanwhile.data) == (206, old.data[20:])

    door.finish(job_id)
    after = read(door, job_id, Range="bytes=20-", If_Range=old.headers["ETag"])
    assert after.status_code == 200
    assert after.headers["ETag"] != old.headers["ETag"]
    assert after.data == read(door, job_id).data != old.data


def test_json_lines_of_an_old_revision_go_on_in_the_new_one(door: Door) -> None:
    """What `curl -C -` does: it knows no ETag."""
    job_id = door.fetched(records=25, limit=10)
    old = read(door, job_id)
    door.call("PUT", f"/bulk/v3/{job_id}/restart")
    door.finish(job_id)

    rest = read(door, job_id, Range=f"bytes={len(old.data)}-")

    assert rest.status_code == 206
    assert old.data + rest.data == read(door, job_id).data
    assert len((old.data + rest.data).splitlines()) == 20


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("coding", ["", "zip"])
def test_a_store_that_is_down_at_a_range_is_an_error_with_a_status(door: Door, file_format: str, coding: str) -> None:
    job_id = door.fetched(format=file_format)
    app = create_app(replace(door.ctx, store=FailingStore(door.ctx.store, reads=0)))  # type: ignore[arg-type]
    headers = {"Authorization": door.acme.element, "Range": "bytes=60-", "Accept-Encoding": coding}

    refused(app.test_client().get(f"{PREFIX}/bulk/{job_id}", headers=headers), 503)


def named(door: Door, wish: str) -> int:
    """A fetched job with this fileName, submitted at a moment that tests know."""
    job_id = door.fetched(metaData={"fileName": wish})
    door.execute("update jobs set created_at = '2026-03-01 15:05:09.007+01' where id = %s", job_id)
    return job_id


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ("{yyyy-MM-dd HH:mm:ss}_MyJob", 'filename="2026-03-01 14:05:09_MyJob.jsonl"'),
        ("../contacts.csv", 'filename="contacts.jsonl"'),
        ("Übersicht", "filename=\"_bersicht.jsonl\"; filename*=UTF-8''%C3%9Cbersicht.jsonl"),
        ('a"b\r\nX-Evil: 1', "filename=\"a_b__X-Evil: 1.jsonl\"; filename*=UTF-8''a%22b__X-Evil%3A%201.jsonl"),
    ],
)
def test_the_file_is_named_as_the_criteria_wish(door: Door, wish: str, told: str) -> None:
    job_id = named(door, wish)

    answer = read(door, job_id)

    assert answer.headers["Content-Disposition"] == f"attachment; {told}"
    assert "X-Evil" not in answer.headers


def test_the_entry_of_a_zip_has_the_wished_name(door: Door) -> None:
    job_id = named(door, "Übersicht")

    answer = read(door, job_id, Accept_Encoding="zip")

    assert zipfile.ZipFile(io.BytesIO(answer.data)).namelist() == ["Übersicht.jsonl"]
    assert "filename*=UTF-8''%C3%9Cbersicht.jsonl.zip" in answer.headers["Content-Disposition"]


def test_a_name_with_an_unknown_date_pattern_is_refused_at_once(door: Door) -> None:
    body = {"objectName": "records", "metaData": {"fileName": "{yyyy}_x"}}

    message = refused(door.call("POST", "/bulk/download", json=body), 400)

    assert "metaData" in message
    assert "'yyyy'" in message
    assert "yyMMddHHmmssZ" in message


def test_a_name_from_before_the_rules_does_not_hide_the_file(door: Door) -> None:
    job_id = door.fetched()
    old = '{"metaData": {"fileName": "{nonsense}"}}'
    door.execute("update jobs set criteria = criteria || %s::jsonb where id = %s", old, job_id)

    assert f"records-{job_id}.jsonl" in read(door, job_id).headers["Content-Disposition"]


def walk(door: Door, job_id: int, first: TestResponse) -> list[Any]:
    """The records of this page and all that follow it."""
    records, answer = first.get_json(), first
    while token := answer.headers.get(NEXT):
        answer = read(door, job_id, f"/data?nextPage={token}")
        records += answer.get_json()
    return list(records)


@pytest.mark.parametrize("size", [1, 3, 8, 10, 25, 30])
def test_pages_hold_every_record_once_wherever_segments_end(door: Door, size: int) -> None:
    job_id = door.fetched(records=25, pageSize=8)
    expected = [json.loads(line) for line in door.vendor.account("acme").expected()]

    first = read(door, job_id, f"/data?pageSize={size}")

    assert walk(door, job_id, first) == expected
    assert first.headers["elements-total-count"] == "25"


def test_pages_of_one_walk_belong_to_one_revision(door: Door) -> None:
    job_id = door.fetched(records=25, limit=10)
    first = read(door, job_id, "/data?pageSize=4")
    door.call("PUT", f"/bulk/v3/{job_id}/restart")
    meanwhile = read(door, job_id, f"/data?nextPage={first.headers[NEXT]}")
    door.finish(job_id)
    second = read(door, job_id, f"/data?nextPage={first.headers[NEXT]}")

    assert meanwhile.get_json() == second.get_json()
    assert second.headers["elements-total-count"] == "10"
    assert "of run 1" in second.headers["Elements-Error"]
    assert len(walk(door, job_id, first)) == 10
    assert len(walk(door, job_id, read(door, job_id, "/data?pageSize=4"))) == 20


@pytest.mark.parametrize(
    "forged",
    [
        {"after": 0, "revision": 2},
        {"after": 26},
        {"after": 4, "skip": 99},
        {"after": 4, "run": 5},
        {"after": 2, "sequence": 3},
    ],
)
def test_a_forged_place_is_refused(door: Door, forged: dict[str, int]) -> None:
    job_id = door.fetched(records=25)
    token = {"pageSize": 4, "after": 0, "revision": 1, "run": 1, "slice": 1, "sequence": 0, "skip": 0} | forged

    assert "nextPage" in refused(read(door, job_id, f"/data?nextPage={encode_token(token)}"), 400)


def test_a_page_after_a_delete_is_gone(door: Door) -> None:
    job_id = door.fetched(records=25)
    token = read(door, job_id, "/data?pageSize=4").headers[NEXT]
    door.call("DELETE", f"/bulk/{job_id}")

    refused(read(door, job_id, f"/data?nextPage={token}"), 410)


def test_a_page_looks_only_at_the_segments_that_hold_it(door: Door) -> None:
    job_id = door.fetched()
    plant(door, job_id, *(b'{"n":%d}\n' % number * 10 for number in range(60)))

    with door.ctx.db.connection() as conn:
        late = segments.find_from(conn, job_id, 1, Place(1, 1, 50), 25)
        plan = conn.execute("explain " + _from_statement(), (job_id,)).fetchall()

    assert [place.sequence for place, _ in late] == [50, 51, 52]
    assert "segments_pkey" in str(plan)


def _from_statement() -> str:
    return (
        "select * from segments where job_id = %s and run_number <= 1 and (run_number, slice_number, sequence)"
        " >= (1, 1, 50) order by run_number, slice_number, sequence limit 25"
    )


LATE_COLUMN = (b'{"id":1,"n":1.10,"ok":true}\n{"id":2,"to":{"city":"K\xc3\xb6ln"}}\n', b'{"id":3,"late":[1,2]}\n')


@pytest.fixture
def query_job(door: Door) -> Callable[..., int]:
    """A job with the rules of `POST /bulk/query`, which has this result."""

    def make(*parts: bytes) -> int:
        job_id = door.fetched()
        door.execute("update jobs set engine = 'V2', file_format = 'text/csv' where id = %s", job_id)
        plant(door, job_id, *parts)
        return job_id

    return make


@pytest.mark.parametrize("file_format", FORMATS)
def test_fields_come_in_the_order_of_select_fields(door: Door, file_format: str) -> None:
    answer = read(door, door.fetched(format=file_format, selectFields="updatedAt, nowhere,email,id"))
    if file_format == "text/csv":
        assert answer.text.splitlines()[0] == "updatedAt,email,id"
    else:
        found = json.loads(answer.text if file_format == "application/json" else f"[{','.join(answer.text.split())}]")
        assert {tuple(each) for each in found} == {("updatedAt", "email", "id")}
        assert len(found) == 25


def test_a_column_that_is_found_late_has_its_place_in_the_order_of_select_fields(door: Door) -> None:
    job_id = door.fetched(format="text/csv", selectFields="late,to.zip,to,id,n")
    parts = (b'{"id":1,"n":1.10}\n', b'{"to":{"city":"K","zip":5},"id":2}\n{"late":[1,2],"id":3}\n')
    plant(door, job_id, *parts, with_columns=True)

    assert list(csv.reader(io.StringIO(read(door, job_id).text, newline=""))) == [
        ["late", "to.city", "to.zip", "id", "n"],
        ["", "", "", "1", "1.10"],
        ["", "K", "5", "2", ""],
        ["[1,2]", "", "", "3", ""],
    ]


@pytest.mark.parametrize("accept", ["", "*/*", "text/csv"])
def test_a_query_job_is_given_as_csv_unless_asked_otherwise(
    door: Door, query_job: Callable[..., int], accept: str
) -> None:
    answer = read(door, query_job(*LATE_COLUMN), **({"Accept": accept} if accept else {}))

    assert answer.headers["Content-Type"] == "text/csv"
    assert '.csv"' in answer.headers["Content-Disposition"]
    assert list(csv.reader(io.StringIO(answer.text, newline=""))) == [
        ["id", "n", "ok", "to.city", "late"],
        ["1", "1.10", "true", "", ""],
        ["2", "", "", "Köln", ""],
        ["3", "", "", "", "[1,2]"],
    ]


def test_a_query_jobs_columns_are_looked_for_once(door: Door, query_job: Callable[..., int]) -> None:
    job_id = query_job(*LATE_COLUMN)
    first = read(door, job_id)
    with door.ctx.db.connection() as conn:
        assert segments.find_columns(conn, job_id) == ["id", "n", "ok", "to.city", "late"]
        assert [each.columns for each in segments.find_result(conn, job_id, 1)] == [
            ("id", "n", "ok", "to.city"),
            ("late",),
        ]

    reads = FailingStore(door.ctx.store, reads=2)  # one a segment, none to scan
    app = create_app(replace(door.ctx, store=reads))  # type: ignore[arg-type]
    again = app.test_client().get(f"{PREFIX}/bulk/{job_id}", headers={"Authorization": door.acme.element})

    assert (again.data, again.headers["ETag"]) == (first.data, first.headers["ETag"])


@pytest.mark.parametrize(("accept", "extension"), [("application/json", "json"), ("application/jsonl", "jsonl")])
def test_json_of_a_query_job_is_one_object_a_line(
    door: Door, query_job: Callable[..., int], accept: str, extension: str
) -> None:
    answer = read(door, query_job(*LATE_COLUMN), Accept=accept)

    assert answer.headers["Content-Type"] == accept
    assert answer.data == b"".join(LATE_COLUMN)
    assert f'.{extension}"' in answer.headers["Content-Disposition"]


def test_each_media_type_has_its_own_etag(door: Door, query_job: Callable[..., int]) -> None:
    job_id = query_job(*LATE_COLUMN)
    tags = {read(door, job_id, Accept=accept).headers["ETag"] for accept in FORMATS}
    tags.add(read(door, job_id, '?json={"convertToNativeType":"false"}', Accept="application/json").headers["ETag"])
    assert len(tags) == 4


@pytest.mark.parametrize("coding", ["", "gzip", "zip"])
def test_values_of_a_query_job_stay_strings_on_demand(door: Door, query_job: Callable[..., int], coding: str) -> None:
    job_id = query_job(*LATE_COLUMN)
    path = '?json={"convertToNativeType":"false"}'
    answer = read(door, job_id, path, Accept="application/json", Accept_Encoding=coding)

    records = [json.loads(line) for line in unpacked(answer).splitlines()]
    assert records == [
        {"id": "1", "n": "1.10", "ok": "true"},
        {"id": "2", "to": {"city": "Köln"}},
        {"id": "3", "late": ["1", "2"]},
    ]
    part = read(
        door, job_id, path, Accept="application/json", Accept_Encoding=coding,
        Range="bytes=7-", If_Range=answer.headers["ETag"],
    )  # fmt: skip
    assert (part.status_code, part.data) == (206, answer.data[7:])
    native = read(door, job_id, '?json={"convertToNativeType":"true"}', Accept="application/json")
    assert native.data == b"".join(LATE_COLUMN)


def test_what_a_query_job_cannot_be_given_as_is_refused(door: Door, query_job: Callable[..., int]) -> None:
    job_id = query_job(*LATE_COLUMN)

    assert "text/csv" in refused(read(door, job_id, Accept="text/xml"), 406)
    for options in ("{", "[]", '{"convertToNativeType":"maybe"}', '{"convertToNativeType":1}'):
        message = refused(read(door, job_id, f"?json={options}", Accept="application/json"), 400)
        assert "convertToNativeType" in message


def test_records_too_wide_for_csv_are_given_as_json(door: Door, query_job: Callable[..., int]) -> None:
    wide = json.dumps({f"c{number}": number for number in range(10_001)}).encode() + b"\n"
    job_id = query_job(wide)

    assert "10000 different fields" in refused(read(door, job_id), 406)
    assert read(door, job_id, Accept="application/json").data == wide


def test_a_query_job_without_records(door: Door, query_job: Callable[..., int]) -> None:
    job_id = query_job()

    assert (read(door, job_id).status_code, read(door, job_id).data) == (200, b"")
    assert read(door, job_id, Accept="application/json").data == b""
    assert read(door, job_id, "/data").get_json() == []
