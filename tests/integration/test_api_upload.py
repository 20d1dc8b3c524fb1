"""`POST /bulk/{objectName}`: a file goes into the store as it is, a job is made of it, or nothing is left behind."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from werkzeug.test import TestResponse

from app.api import upload_call
from app.db import intakes, jobs, uploads
from app.db.pool import Connection
from app.db.uploads import Upload
from app.domain.uploads import UploadOptions
from app.errors import (
    CommitInDoubtError,
    DatabaseUnavailableError,
    StorageFullError,
    StorageUnavailableError,
)
from app.services import retention, upload_job
from app.services.intake import STALE_S, input_folder, input_key
from tests.fixtures.door import Door
from tests.fixtures.forms import BOUNDARY, CSV, END, FILE, FORM, about, part

BIG = part("file", CSV * 40_000)


def post(door: Door, *parts: bytes, path: str = "/bulk/people", **options: Any) -> TestResponse:
    options = {"content_type": FORM, "data": b"".join([*parts, END]), **options}
    return door.call("POST", path, **options)


def post_stream(
    door: Door, stream: Any, *, length: int | None = None, name: str = "people", **options: Any
) -> TestResponse:
    """With a body that says its length, or with one that the server ends, as a chunked one."""
    environ: dict[str, Any] = {"wsgi.input": stream, "CONTENT_TYPE": FORM}
    if length is None:
        environ |= {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    else:
        environ |= {"CONTENT_LENGTH": str(length)}
    return door.call("POST", f"/bulk/{name}", environ_overrides=environ, **options)


def accepted(answer: TestResponse) -> int:
    assert answer.status_code == 200, answer.text
    assert answer.get_json().keys() == {"id", "instanceId", "status"}
    assert answer.get_json()["status"] == "CREATED"
    return int(answer.get_json()["id"])


def refused(door: Door, answer: TestResponse, status: int = 400) -> str:
    """What the caller is told; and nothing is left of the call."""
    assert answer.status_code == status, answer.text
    assert count(door, "jobs") == count(door, "uploads") == 0
    nothing_on_the_way(door)
    assert stored(door) == []
    return str(answer.get_json()["message"])


def nothing_on_the_way(door: Door) -> None:
    assert count(door, "intakes") == 0
    assert door.ctx.store.unfinished("uploads/") == {}


def count(door: Door, table: str) -> int:
    with door.ctx.db.connection() as conn:
        row = conn.execute(f"select count(*)::int as n from {table}".encode()).fetchone()
    assert row is not None
    return int(row["n"])


def stored(door: Door) -> list[str]:
    return list(door.ctx.store.list("uploads/"))


def file_of(door: Door, job_id: int) -> tuple[Upload, bytes]:
    with door.ctx.db.connection() as conn:
        upload = uploads.find(conn, job_id)
    assert upload is not None
    with door.ctx.store.open(upload.object_key) as source:
        return upload, source.read()


def told(door: Door, job_id: int) -> dict[str, Any]:
    document: dict[str, Any] = door.call("GET", f"/bulk/{job_id}/status").get_json()
    return document


# A job ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/bulk/people", "/hubs/crm/bulk/people"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_file_becomes_a_job_whichever_part_comes_first(door: Door, path: str, is_first: bool) -> None:
    options = about(action="upsert", identifierFieldName="email")
    parts = [options, FILE] if is_first else [FILE, options]
    job_id = accepted(post(door, *parts, path=path))

    assert file_of(door, job_id) == (Upload(job_id, stored(door)[0], len(CSV)), CSV)
    nothing_on_the_way(door)
    shown = told(door, job_id)
    assert (shown["jobDirection"], shown["job_direction"], shown["status"]) == ("UPLOAD", "UPLOAD", "CREATED")
    assert (shown["objectName"], shown["fileFormat"]) == ("people", "csv")
    wanted = {"format": "csv", "action": "upsert", "identifierFieldName": "email"}
    assert shown["jobCriteria"] == {"objectName": "people", "metaData": wanted}


def test_the_job_is_due_at_once_as_one_slice_of_its_first_run(door: Door) -> None:
    job_id = accepted(post(door, FILE, about(bulkUploadRecordSize=25)))
    with door.ctx.db.connection() as conn:
        rows = conn.execute(
            "select run_number, number, page_size, next_run_at <= now() as is_due, skip, cursor from slices"
            " where job_id = %s",
            (job_id,),
        ).fetchall()
    assert rows == [{"run_number": 1, "number": 1, "page_size": 25, "is_due": True, "skip": 0, "cursor": None}]


def test_a_large_file_arrives_byte_for_byte(door: Door) -> None:
    content = os.urandom(3_000_001)
    job_id = accepted(post(door, part("file", content), about(format="json")))
    assert file_of(door, job_id)[1] == content
    assert told(door, job_id)["fileFormat"] == "json"


def test_every_option_is_kept(door: Door) -> None:
    options = {
        "format": "csv",
        "action": "upsert",
        "identifierFieldName": "custom.111",
        "encoding": "iso8859-15",
        "delimiter": ";",
        "quote": "'",
        "concurrency": "serial",
        "bulkUploadRecordSize": 10,
        "path": "/accounts/7/contacts",
        "resendUncertain": True,
        "fileName": "{yyyy-MM-dd HH:mm:ss}_Contacts",
        "callback-payload": {"any": ["thing", None]},
    }
    headers = {"Elements-Async-Callback-Url": "http://127.0.0.1:9/hook"}
    job_id = accepted(post(door, about(**{**options, "encoding": "ISO-8859-15"}), FILE, headers=headers))
    with door.ctx.db.connection() as conn:
        job = jobs.get_for_worker(conn, job_id)
    assert job.criteria == {"objectName": "people", "metaData": options, "notificationUrl": headers.popitem()[1]}
    assert UploadOptions.from_echo(job.criteria).echo() == job.criteria
    assert (job.notification_url, job.engine, job.direction) == ("http://127.0.0.1:9/hook", "V2", "UPLOAD")


def test_options_of_the_query_string_win(door: Door) -> None:
    """One client sends identifierFieldName there (reference 5)."""
    answer = post(
        door,
        FILE,
        about(identifierFieldName="id", action="upsert"),
        query_string={"identifierFieldName": "email", "bulkUploadRecordSize": "50", "resendUncertain": "true"},
    )
    kept = told(door, accepted(answer))["jobCriteria"]["metaData"]
    assert (kept["identifierFieldName"], kept["bulkUploadRecordSize"], kept["resendUncertain"]) == ("email", 50, True)
    assert kept["action"] == "upsert"


def test_the_primary_key_name_is_the_identifier_too(door: Door) -> None:
    job_id = accepted(post(door, FILE, about(primaryKeyName="email")))
    assert told(door, job_id)["jobCriteria"]["metaData"]["identifierFieldName"] == "email"
    same = about(primaryKeyName="email", identifierFieldName="email")
    accepted(post(door, FILE, same))
    assert "primaryKeyName" in post(door, FILE, about(primaryKeyName="id", identifierFieldName="email")).text


@pytest.mark.parametrize("written", [b"", b"  ", b"{}", b'{"identifierFieldName": null, "action": ""}'])
def test_without_options_each_row_of_a_csv_is_created(door: Door, written: bytes) -> None:
    job_id = accepted(post(door, FILE, part("metaData", written)))
    assert told(door, job_id)["jobCriteria"]["metaData"] == {"format": "csv", "action": "create"}


def test_what_means_nothing_is_told(door: Door) -> None:
    answer = post(
        door,
        FILE,
        about(listId="7", campaignId=8),
        part("comment", b"x" * 200_000),
        query_string={"path": "/sample.csv", "callback-payload": "x"},
    )
    job_id = accepted(answer)
    notice = answer.headers["Elements-Error"]
    for name in ("metaData.listId", "metaData.campaignId", "the part 'comment'", "path", "callback-payload"):
        assert name in notice
    assert "path" not in told(door, job_id)["jobCriteria"]["metaData"]


@pytest.mark.parametrize(
    "sent",
    [
        part("file", CSV),
        part("file", CSV, file_name="Kundé.csv", head=b"Content-Type: text/csv\r\n"),
        part("file", CSV, head=b"Content-Transfer-Encoding: binary\r\n"),
        FILE.replace(b"\r\n", b"\n"),
    ],
)
def test_a_file_is_a_part_of_that_name_however_it_is_described(door: Door, sent: bytes) -> None:
    if b"\r\n" not in sent:  # a client that ends its lines so does it everywhere
        answer = post(door, data=sent + END.replace(b"\r\n", b"\n"))
        assert file_of(door, accepted(answer))[1] == CSV.replace(b"\r\n", b"\n")
    else:
        assert file_of(door, accepted(post(door, sent)))[1] == CSV


# An Idempotency-Key --------------------------------------------------------------------------------------------------


def test_the_same_file_under_the_same_key_is_one_job_and_one_object(door: Door) -> None:
    headers = {"Idempotency-Key": "k"}
    first = accepted(post(door, FILE, about(action="create"), headers=headers))
    assert accepted(post(door, about(), part("file", CSV), headers=headers)) == first
    assert len(stored(door)) == count(door, "jobs") == 1
    nothing_on_the_way(door)


@pytest.mark.parametrize("other", [[part("file", CSV + b"2,b\r\n")], [FILE, about(concurrency="serial")]])
def test_another_file_or_option_under_the_same_key_is_refused(door: Door, other: list[bytes]) -> None:
    headers = {"Idempotency-Key": "k"}
    accepted(post(door, FILE, headers=headers))
    assert post(door, *other, headers=headers).status_code == 422
    assert len(stored(door)) == count(door, "jobs") == 1
    nothing_on_the_way(door)


def test_a_refused_file_leaves_its_key_free(door: Door) -> None:
    headers = {"Idempotency-Key": "k"}
    refused(door, post(door, FILE, about(action="none"), headers=headers))
    accepted(post(door, FILE, headers=headers))


# Refusals ------------------------------------------------------------------------------------------------------------


_BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"action": "destroy"}, 'action "destroy": one of create, update, upsert, delete is accepted.'),
    ({"action": 1}, "action 1"),
    ({"format": "xls"}, 'format "xls"'),
    ({"identifierFieldName": 7}, "identifierFieldName 7"),
    ({"identifierFieldName": "x" * 201}, "identifierFieldName"),
    ({"bulkUploadRecordSize": 0}, "bulkUploadRecordSize 0"),
    ({"bulkUploadRecordSize": "many"}, 'bulkUploadRecordSize "many"'),
    ({"bulkUploadRecordSize": 1.5}, "bulkUploadRecordSize 1.5"),
    ({"concurrency": "some"}, 'concurrency "some"'),
    ({"encoding": "rot13"}, 'encoding "rot13"'),
    ({"encoding": "utf-7"}, 'encoding "utf-7"'),
    ({"encoding": "\u20ac"}, "encoding"),
    ({"delimiter": "ab"}, 'delimiter "ab"'),
    ({"delimiter": "\n"}, "delimiter"),
    ({"delimiter": '"'}, "delimiter"),
    ({"quote": ",", "delimiter": ","}, "delimiter"),
    ({"quote": "a"}, 'quote "a"'),
    ({"path": "../admin"}, "path"),
    ({"path": "http://other.example/"}, "path"),
    ({"path": "//other.example/x"}, "path"),
    ({"path": "a?b=c"}, "path"),
    ({"path": "a%2f..%2fb"}, "path"),
    ({"fileName": "{yyyy}"}, "fileName"),
    ({"resendUncertain": "perhaps"}, "resendUncertain"),
]


@pytest.mark.parametrize("is_first", [True, False])
def test_bad_options_are_refused_by_name(door: Door, is_first: bool) -> None:
    for values, named in _BAD_OPTIONS:
        parts = [about(**values), FILE] if is_first else [FILE, about(**values)]
        assert named in refused(door, post(door, *parts))


@pytest.mark.parametrize("query", [{"action": "destroy"}, {"bulkUploadRecordSize": "0"}, {"delimiter": "ab"}])
def test_bad_options_of_the_query_string_are_refused_before_the_file_is_read(door: Door, query: dict[str, str]) -> None:
    body = io.BytesIO(FILE + END)
    answer = post_stream(door, body, length=len(FILE + END), query_string=query)
    assert min(query) in refused(door, answer)
    assert body.tell() == 0


_BAD_METADATA: list[tuple[bytes, str]] = [
    (b"{", "metaData is not JSON"),
    (b"[]", "metaData is an array"),
    (b"\xff", "metaData is not JSON"),
    (b'{"fileName": "\\u0000"}', "metaData"),
    (b'{"a": "' + b"x" * 70_000 + b'"}', "`metaData` has more than 65536 bytes"),
    (b'{"a":' * 100 + b"1" + b"}" * 100, "metaData is nested deeper"),
]


@pytest.mark.parametrize("is_first", [True, False])
def test_metadata_that_cannot_be_read_is_refused(door: Door, is_first: bool) -> None:
    for written, named in _BAD_METADATA:
        parts = [part("metaData", written), FILE]
        status = 413 if "more than" in named else 400
        assert named in refused(door, post(door, *(parts if is_first else reversed(parts))), status)


_BAD_FORMS: list[tuple[list[bytes], str]] = [
    ([], "`file` is missing"),
    ([about(action="create")], "`file` is missing"),
    ([part("data", CSV, file_name="a.csv")], "`file` is missing"),
    ([part("file", b"")], "`file` is empty"),
    ([part("file", b""), FILE], "`file` is empty"),
    ([FILE, FILE], "`file` is there twice"),
    ([FILE, part("file", b"")], "`file` is there twice"),
    ([FILE, about(), about()], "`metaData` is there twice"),
    ([part("file", CSV, head=b"Content-Transfer-Encoding: base64\r\n")], "Content-Transfer-Encoding"),
    ([part("file", CSV, head=b"X: " + b"y" * 20_000 + b"\r\n")], "headers of a part"),
    ([FILE] + [part(f"p{n}", b"") for n in range(100)], "more than 100 parts"),
]


def test_a_form_without_one_whole_file_is_refused(door: Door) -> None:
    for parts, named in _BAD_FORMS:
        assert named in refused(door, post(door, *parts))


_BAD_TYPES: list[tuple[str, int, str]] = [
    ("application/json", 415, "multipart/form-data"),
    ("text/csv", 415, "multipart/form-data"),
    ("", 415, "multipart/form-data"),
    ("multipart/mixed; boundary=x", 415, "multipart/form-data"),
    ("application/x-www-form-urlencoded", 415, "multipart/form-data"),
    ("multipart/form-data", 400, "boundary"),
    ("multipart/form-data; boundary=other", 400, "before the first boundary"),
    (f"multipart/form-data; boundary={BOUNDARY[:-1]}", 400, "boundary"),
]


def test_another_type_or_boundary_is_refused(door: Door) -> None:
    for content_type, status, named in _BAD_TYPES:
        assert named in refused(door, post(door, FILE, content_type=content_type), status)


def test_a_coded_form_is_refused(door: Door) -> None:
    assert "gzip" in refused(door, post(door, FILE, headers={"Content-Encoding": "gzip"}), 415)


@pytest.mark.parametrize("url", ["/relative", "ftp://example.com/", "http://169.254.169.254/"])
def test_a_callback_url_that_is_not_called_is_refused_before_the_file_is_read(door: Door, url: str) -> None:
    body = io.BytesIO(FILE + END)
    headers = {"Elements-Async-Callback-Url": url}
    answer = post_stream(door, body, length=len(FILE + END), headers=headers)
    assert "Elements-Async-Callback-Url" in refused(door, answer)
    assert body.tell() == 0


def test_an_object_that_takes_no_uploads_is_refused_before_the_file_is_read(door: Door) -> None:
    body = io.BytesIO(FILE + END)
    told = refused(door, post_stream(door, body, length=len(FILE + END), name="records"))
    assert "does not say how 'records' is written; accepted: people, " in told
    assert body.tell() == 0
    assert "no object 'nothing'" in refused(door, post(door, FILE, path="/bulk/nothing"))


def make_element(door: Door, key: str, **objects: Any) -> dict[str, Any]:
    document = {"format": 1, "key": key, "base_url": door.vendor.url, "auth": {"kind": "none"}, "objects": objects}
    answer = door.call("POST", "/elements", as_=door.acme.platform, json=document)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.get_json()
    return made


def test_an_element_says_whether_it_takes_uploads(door: Door) -> None:
    read = {"list": {"path": "/things", "records": "/things", "page": {"kind": "none"}}}
    assert make_element(door, "read", things=read)["bulk"]["upload"] is False
    assert make_element(door, "write", things={**read, "create": {"path": "/things"}})["bulk"]["upload"] is True
    off = {**read, "create": {"path": "/things"}, "upload": False}
    assert make_element(door, "off", things=off)["bulk"]["upload"] is False


@pytest.mark.parametrize("is_first", [True, False])
def test_an_action_that_the_connector_does_not_declare_is_refused(door: Door, is_first: bool) -> None:
    """Before the file is read, where the options come first."""
    options = about(action="delete")
    body = io.BytesIO(b"".join([options, BIG] if is_first else [BIG, options]) + END)
    answer = post_stream(door, body, length=len(body.getvalue()), name="people_keyed")
    assert "action 'delete' is not declared for 'people_keyed'" in refused(door, answer)
    assert (body.tell() < len(BIG)) == is_first


def test_an_identifier_is_asked_for_where_the_connector_declares_none(door: Door) -> None:
    as_platform = door.acme.platform
    make_element(door, "own", things={"upsert": {"path": "/things/{id}"}})
    answer = door.call("POST", "/instances", as_=as_platform, json={"element": {"key": "own"}, "name": "own"})
    assert answer.status_code == 200, answer.text
    token = f"{as_platform}, Element {answer.get_json()['token']}"
    options = about(action="upsert")
    assert "identifierFieldName is required" in refused(door, post(door, FILE, options, path="/bulk/things", as_=token))
    options = about(action="upsert", identifierFieldName="email")
    accepted(post(door, FILE, options, path="/bulk/things", as_=token))


def test_an_instance_that_is_disabled_while_the_file_comes_takes_it_no_more(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = intakes.insert

    def disabling(*given: Any) -> None:
        insert(*given)
        door.execute("update instances set disabled_at = now() where id = %s", door.acme.instance_id)

    monkeypatch.setattr(intakes, "insert", disabling)
    assert "disabled" in refused(door, post(door, FILE), 409)


def test_a_word_of_the_api_is_no_object(door: Door) -> None:
    for word in ("jobs", "123"):
        assert post(door, FILE, path=f"/bulk/{word}").status_code == 405
    for word in ("schedules", "workflows"):
        assert post(door, FILE, path=f"/bulk/{word}").status_code == 415, "they take JSON"
    assert post(door, FILE, path="/bulk/v3").status_code == 404
    assert door.call("GET", "/bulk/people").status_code == 405


def test_another_tenants_job_is_none(door: Door) -> None:
    job_id = accepted(post(door, FILE))
    assert door.call("GET", f"/bulk/{job_id}/status", as_=door.globex.element).status_code == 404
    assert post(door, FILE, as_=door.acme.platform).status_code == 401


# Too large, too slow, broken off -------------------------------------------------------------------------------------


def limit(door: Door, most: int) -> None:
    settings = replace(door.ctx.settings, upload_max_bytes=most)
    door.app.extensions["haulage"] = replace(door.ctx, settings=settings)


def test_a_file_may_be_as_large_as_the_limit_and_no_larger(door: Door) -> None:
    limit(door, 100_000)
    assert "100000 bytes" in refused(door, post(door, about(), part("file", b"x" * 100_001)), 413)
    accepted(post(door, about(), part("file", b"x" * 100_000)))


def test_what_is_surely_too_large_is_refused_before_it_is_read(door: Door) -> None:
    limit(door, 100_000)
    body = io.BytesIO(FILE + END)
    answer = post_stream(door, body, length=3_000_000)
    assert "HAULAGE_UPLOAD_MAX_BYTES" in refused(door, answer, 413)
    assert body.tell() == 0


@pytest.mark.parametrize("name", ["file", "other"])
def test_a_body_without_a_length_is_limited_too(door: Door, name: str) -> None:
    """As chunked bodies come: by a stream that the server ends."""
    limit(door, 100_000)
    body = io.BytesIO(FILE + part(name, b"x" * 3_000_000) + END)
    answer = post_stream(door, body)
    message = refused(door, answer, 400 if name == "file" else 413)
    assert "twice" in message or "HAULAGE_UPLOAD_MAX_BYTES" in message


def test_an_upload_that_takes_too_long_is_given_up(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_call, "LONGEST_S", -1.0)
    assert "took longer" in refused(door, post(door, part("file", b"x" * 1_000_000)), 408)


class Broken(io.RawIOBase):
    """A body whose connection dies behind these bytes: with an error, or in silence."""

    def __init__(self, content: bytes, error: Exception | None) -> None:
        self._rest = io.BytesIO(content)
        self._error = error

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._rest.read(size)
        if not data and self._error is not None:
            raise self._error
        return data


_BODY = about() + part("file", CSV * 20_000) + part("comment", b"x") + END


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_client_that_breaks_off_leaves_nothing(door: Door, is_chunked: bool) -> None:
    length = None if is_chunked else len(_BODY)
    for share in (0.0, 0.0001, 0.3, 0.9, 0.9999):
        for error in (None, ConnectionResetError(104, "reset"), BlockingIOError(11, "stalled"), EOFError()):
            broken = Broken(_BODY[: int(len(_BODY) * share)], error)
            message = refused(door, post_stream(door, broken, length=length))
            assert re.search("broke off before its end|The body ends", message)


def test_a_length_that_is_too_short_is_no_whole_form(door: Door) -> None:
    for missing in (3, 4, 100, len(_BODY) - 10):
        stream = io.BytesIO(_BODY)
        assert "The body ends" in refused(door, post_stream(door, stream, length=len(_BODY) - missing))
    accepted(post_stream(door, io.BytesIO(_BODY + b"GET / HTTP/1.1"), length=len(_BODY)))


# Faults of ours ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StorageFullError("store is full"), StorageUnavailableError("nobody answers")])
@pytest.mark.parametrize("after", [0, 200_000])
def test_a_store_that_fails_is_told_as_503(
    door: Door, monkeypatch: pytest.MonkeyPatch, error: Exception, after: int
) -> None:
    put = type(door.ctx.store).put

    def failing(store: Any, key: str, chunks: Iterator[bytes]) -> None:
        def some() -> Iterator[bytes]:
            taken = 0
            for chunk in chunks:
                taken += len(chunk)
                if taken > after:
                    raise error
                yield chunk

        put(store, key, some())

    monkeypatch.setattr(type(door.ctx.store), "put", failing)
    answer = post(door, about(), part("file", CSV * 20_000))
    assert str(error) in refused(door, answer, 503)
    assert answer.headers["Retry-After"]


def test_what_cannot_be_removed_at_once_is_removed_by_the_sweeper(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any) -> None:
        raise StorageUnavailableError("nobody answers")

    with monkeypatch.context() as patched:
        patched.setattr(type(door.ctx.store), "delete_prefix", down)
        assert post(door, FILE, about(action="none")).status_code == 400
        assert (count(door, "intakes"), len(stored(door))) == (1, 1)
        age_intakes(door)
        assert retention.sweep_intakes(door.ctx) == 0, "the store is still down"
    assert retention.sweep_intakes(door.ctx) == 1
    assert (count(door, "intakes"), stored(door), folders(door)) == (0, [], [])


@pytest.mark.parametrize("name", ["insert", "remove"])
def test_a_database_that_goes_away_leaves_no_job(door: Door, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def gone(*_: Any) -> None:
        raise DatabaseUnavailableError("PostgreSQL: gone")

    with monkeypatch.context() as patched:
        patched.setattr(intakes, name, gone)
        assert post(door, FILE).status_code == 503
    age_intakes(door)
    retention.sweep_intakes(door.ctx)
    assert count(door, "jobs") == count(door, "intakes") == 0
    assert stored(door) == []


@pytest.mark.parametrize("stands", [True, False])
def test_a_commit_in_doubt_keeps_the_file_for_the_job_that_may_stand(
    door: Door, monkeypatch: pytest.MonkeyPatch, stands: bool
) -> None:
    begin = door.ctx.db.transaction

    @contextmanager
    def cut() -> Iterator[Connection]:
        with begin() as conn:
            yield conn
            if not stands:
                raise CommitInDoubtError("PostgreSQL at COMMIT: cut")
        raise CommitInDoubtError("PostgreSQL at COMMIT: cut")

    with monkeypatch.context() as patched:
        patched.setattr(door.ctx.db, "transaction", cut)
        assert post(door, FILE).status_code == 503
    age_intakes(door)
    assert retention.sweep_intakes(door.ctx) == (0 if stands else 1)
    assert len(stored(door)) == count(door, "jobs") == (1 if stands else 0)


# What is removed later -----------------------------------------------------------------------------------------------


def age_intakes(door: Door, seconds: float = STALE_S + 60) -> None:
    door.execute("update intakes set created_at = now() - make_interval(secs => %s)", seconds)


def folders(door: Door) -> list[str]:
    """Below `uploads`, hidden files too."""
    root = storage_root(door) / "uploads"
    return sorted(each.name for each in root.iterdir()) if root.exists() else []


def storage_root(door: Door) -> Path:
    return Path(unquote(urlsplit(door.ctx.settings.storage_url).path))


def begin(door: Door) -> str:
    """An intake whose receiver was killed in the middle of the file."""
    key = input_key()
    with door.ctx.db.connection() as conn:
        intakes.insert(conn, door.acme.organisation_id, key)
    folder = storage_root(door) / input_folder(key)
    folder.mkdir(parents=True)
    (folder / f".input.{'0' * 16}.part").write_bytes(b"half")
    return key


def test_a_receiver_that_was_killed_leaves_its_file_to_the_sweeper(door: Door) -> None:
    begin(door)
    begin(door)
    age_intakes(door, STALE_S - 60)
    assert retention.sweep_intakes(door.ctx) == 0, "it may still be coming"
    age_intakes(door)
    assert retention.sweep_intakes(door.ctx) == 2
    assert (count(door, "intakes"), folders(door)) == (0, [])
    assert retention.sweep_intakes(door.ctx) == 0


def test_a_file_that_was_swept_makes_no_job(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that was frozen for hours and woken."""
    find_target = upload_job.find_target
    calls = 0

    def found(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:  # within the transaction that makes the job
            with door.ctx.db.connection() as conn:
                conn.execute("update intakes set created_at = now() - interval '3 hours'")
            assert retention.sweep_intakes(door.ctx) == 1
        return find_target(*given)

    monkeypatch.setattr("app.services.intake.find_target", found)
    assert "given up" in refused(door, post(door, FILE), 503)


def test_the_file_goes_with_the_files_of_its_job(door: Door) -> None:
    job_id, kept = accepted(post(door, FILE)), accepted(post(door, FILE))
    door.execute(
        "update jobs set status = 'COMPLETED', finished_at = now(), files_expire_at = now() where id = %s", job_id
    )
    door.execute("update slices set next_run_at = null where job_id = %s", job_id)
    assert retention.sweep_files(door.ctx) == 1
    door.execute("update jobs set sweep_orphans_at = now() where id = %s", job_id)  # when readers have had their time
    retention.sweep_orphans(door.ctx)
    assert folders(door) == [file_of(door, kept)[0].object_key.split("/")[1]]
    with door.ctx.db.connection() as conn:
        assert uploads.find(conn, job_id) is not None, "the row stays with its job"
    door.execute("update jobs set files_deleted_at = now() - interval '1 year' where id = %s", job_id)
    retention.forget_rows(door.ctx)
    with door.ctx.db.connection() as conn:
        assert uploads.find(conn, job_id) is None
        assert uploads.find(conn, kept) is not None


def test_deleting_a_jobs_files_deletes_its_input(door: Door) -> None:
    job_id = accepted(post(door, FILE))
    door.execute("update jobs set status = 'ABORTED', finished_at = now() where id = %s", job_id)
    door.execute("update slices set next_run_at = null where job_id = %s", job_id)
    assert door.call("DELETE", f"/bulk/{job_id}").status_code == 200
    retention.sweep_orphans(door.ctx)
    assert folders(door) == []


def test_what_the_first_leg_finds_out_is_kept(door: Door) -> None:
    job_id = accepted(post(door, FILE))
    with door.ctx.db.connection() as conn:
        uploads.set_form(conn, job_id, {"delimiter": ";"})
        found = uploads.find(conn, job_id)
        assert uploads.find(conn, 1) is None
    assert found is not None
    assert found.form == {"delimiter": ";"}
