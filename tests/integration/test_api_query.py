"""`POST /bulk/query`: what clients in the wild send, in every place where they send it (reference 1b)."""

import csv
import io
import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.fixtures.door import Door

EVERY = "select * from records"


def accepted(answer: TestResponse) -> int:
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["status"] == "CREATED"
    return int(answer.get_json()["id"])


def refused(answer: TestResponse, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.get_json()["message"])


def told(door: Door, job_id: int) -> dict[str, Any]:
    document: dict[str, Any] = door.call("GET", f"/bulk/{job_id}/status").get_json()
    return document


def jobs_of(door: Door) -> int:
    return len(door.call("GET", "/bulk/jobs").get_json())


def test_a_query_goes_on_with_the_same_limit_where_the_last_one_stopped(door: Door) -> None:
    """With q left empty the next ten come, and the ten after them (reference 2)."""
    door.vendor.account("acme").configure(records=25)
    call = {"q": "select id from records limit 10"}
    found: list[list[int]] = []
    for _ in range(3):
        job_id = accepted(door.call("POST", "/bulk/query", query_string=call))
        door.finish(job_id)
        assert told(door, job_id)["jobCriteria"]["limit"] == 10
        found.append([each["id"] for each in door.call("GET", f"/bulk/{job_id}/data").get_json()])
        call = {"continueFromJobId": str(job_id)}
    assert found == [[*range(1, 11)], [*range(11, 21)], [*range(21, 26)]]


# Clients in the wild -------------------------------------------------------------------------------------------------


def test_ucr_posts_nothing_and_polls_the_older_fields(door: Door) -> None:
    """The Java sample: everything in the query string, an empty body, records read under the object's path."""
    door.vendor.account("acme").configure(records=25)
    job_id = accepted(
        door.call(
            "POST",
            "/bulk/query",
            query_string={"q": "select * from records limit 10"},
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        )
    )
    door.finish(job_id)
    status = told(door, job_id)
    assert (status["status"], status["recordsCount"], status["recordsFailedCount"]) == ("COMPLETED", 10, 0)
    assert status["object_name"] == "records"
    page = door.call("GET", f"/bulk/{job_id}/myRecords/data?pageSize=4")
    assert [each["id"] for each in page.get_json()] == [1, 2, 3, 4]


def test_pycl_sends_text_plain_without_a_body_below_a_hub(door: Door) -> None:
    answer = door.call(
        "POST",
        "/hubs/crm/bulk/query",
        query_string={"q": EVERY, "from": "2024-01-02T00:00:00Z", "fileFormat": "json", "continueFromJobId": ""},
        headers={"Content-Type": "text/plain"},
    )
    status = told(door, accepted(answer))
    assert status["fileFormat"] == "json"
    assert status["jobCriteria"]["filterDateField"] == "updatedAt"


def test_a_formula_posts_the_query_as_json_with_a_callback(door: Door) -> None:
    hook = f"{door.vendor.url}/hook"
    answer = door.call(
        "POST",
        "/bulk/query",
        json={"query": "select * from records limit 100"},
        headers={"Elements-Async-Callback-Url": hook},
    )
    status = told(door, accepted(answer))
    assert status["notificationUrl"] == hook
    assert status["fileFormat"] == "csv"  # formulas append it to a file's name
    assert "error" not in status
    assert status["jobCriteria"]["limit"] == 100


def test_helium_sends_the_call_to_the_newer_engine(door: Door) -> None:
    door.vendor.account("acme").configure(records=25)
    answer = door.call(
        "POST",
        "/bulk/query",
        query_string={"q": EVERY},
        data={"metaData": json.dumps({"pageSize": 10})},
        headers={"Elements-Version": "Helium"},
        content_type="multipart/form-data",
    )
    job_id = accepted(answer)
    door.finish(job_id)
    status = told(door, job_id)
    assert (status["fileFormat"], status["metadata"]["pageCount"]) == ("JSONL", 3)
    assert door.call("GET", f"/bulk/{job_id}/records").headers["Content-Type"] == "application/jsonl"
    assert door.call("GET", "/bulk/jobs").get_json()[0]["engine"] == "V3"


def test_the_vendors_suite_sends_dates_and_meta_data_in_a_form(door: Door) -> None:
    about = {"callback-payload": "abc", "fileName": "mine", "validationData": {"fileFormat": "CSV"}, "composite": True}
    answer = door.call(
        "POST",
        "/bulk/query?from=2017-05-24T18:31:01.000Z",
        data={"q": EVERY, "metaData": json.dumps(about)},
        content_type="multipart/form-data",
    )
    status = told(door, accepted(answer))
    assert status["callback-payload"] == "abc"
    assert status["metaData"] == {"fileName": "mine", "callback-payload": "abc"}
    assert status["jobCriteria"]["from"] == "2017-05-24T18:31:01.000Z"
    assert answer.headers["Elements-Error"] == "Ignored: metaData.composite."


# Every place and form ------------------------------------------------------------------------------------------------

AS_FILE = f'--x\r\nContent-Disposition: form-data; name="q"; filename="blob"\r\n\r\n{EVERY}\r\n--x--\r\n'
PLACES: dict[str, dict[str, Any]] = {
    "query string": {"query_string": {"q": EVERY}},
    "form": {"data": {"q": EVERY}},
    "multipart": {"data": {"q": EVERY}, "content_type": "multipart/form-data"},
    "multipart with file names": {"data": AS_FILE, "content_type": "multipart/form-data; boundary=x"},
    "json": {"json": {"q": EVERY}},
    "json without a type": {"data": json.dumps({"query": EVERY})},
    "json that curl calls a form": {
        "data": json.dumps({"query": EVERY}),
        "content_type": "application/x-www-form-urlencoded",
    },
    "twice the same": {"query_string": {"q": EVERY}, "json": {"query": EVERY}},
    "text beside an empty body": {"query_string": {"q": EVERY}, "data": " \n", "content_type": "application/xml"},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("path", ["/bulk/query", "/hubs/crm/bulk/query"])
def test_the_query_may_stand_in_every_place(door: Door, path: str, place: str) -> None:
    status = told(door, accepted(door.call("POST", path, **PLACES[place])))
    assert status["jobCriteria"] == {"q": EVERY, "objectName": "records", "format": "text/csv"}


META_DATA: dict[str, Any] = {
    "lastRunDate": "2024-02-01",
    "to": "2024-03-01",
    "pageSize": "50",
    "fileFormat": "jsonl",
    "incremental": True,
    "quartzJobName": "nightly",
}


@pytest.mark.parametrize(
    "sent",
    [
        {"data": {"metaData": json.dumps(META_DATA)}},
        {"data": {"metaData": json.dumps(META_DATA)}, "content_type": "multipart/form-data"},
        {"json": {"metaData": META_DATA}},
        {"json": {"metaData": json.dumps(META_DATA)}},
    ],
)
def test_meta_data_may_be_an_object_or_its_text(door: Door, sent: dict[str, Any]) -> None:
    answer = door.call("POST", "/bulk/query", query_string={"q": EVERY}, **sent)
    asked = told(door, accepted(answer))["jobCriteria"]
    assert asked == {
        "q": EVERY,
        "objectName": "records",
        "format": "application/jsonl",
        "from": "2024-02-01",
        "to": "2024-03-01",
        "filterDateField": "updatedAt",
        "pageSize": 50,
    }
    assert answer.headers["Elements-Error"] == "Ignored: metaData.quartzJobName."


@pytest.mark.parametrize(
    ("parameters", "about", "wanted"),
    [
        ({"from": "2024-01-05", "lastRunDate": "2024-01-01"}, {}, "2024-01-05"),
        ({"lastRunDate": "2024-01-05"}, {"lastRunDate": "2024-01-01"}, "2024-01-05"),
        ({"lastRunDate": "2024-01-01"}, {"from": "2024-01-05"}, "2024-01-05"),
        ({}, {"lastRunDate": 1704412800000}, "1704412800000"),
    ],
)
def test_from_wins_over_the_last_run(
    door: Door, parameters: dict[str, str], about: dict[str, Any], wanted: str
) -> None:
    answer = door.call("POST", "/bulk/query", query_string={"q": EVERY, **parameters}, json={"metaData": about})
    assert told(door, accepted(answer))["jobCriteria"]["from"] == wanted


def test_a_plus_that_arrived_as_a_blank_is_an_offset(door: Door) -> None:
    answer = door.call("POST", f"/bulk/query?q={EVERY}&from=2024-01-05T00:00:00+01:00")
    assert told(door, accepted(answer))["jobCriteria"]["from"] == "2024-01-05T00:00:00+01:00"


def test_what_the_query_says_becomes_criteria(door: Door) -> None:
    text = "SELECT id, `group` FROM records WHERE id > 5 AND email LIKE '%1%' LIMIT 7"
    asked = told(door, accepted(door.call("POST", "/bulk/query", json={"query": text})))["jobCriteria"]
    assert asked == {
        "q": text,
        "objectName": "records",
        "format": "text/csv",
        "selectFields": "id,group",
        "where": "id > 5 AND email LIKE '%1%'",
        "limit": 7,
    }


# What comes of it -----------------------------------------------------------------------------------------------------


def finished(door: Door, **parameters: str) -> int:
    job_id = accepted(door.call("POST", "/bulk/query", query_string=parameters))
    door.finish(job_id)
    return job_id


def test_the_result_is_csv_unless_the_reader_wants_json(door: Door) -> None:
    door.vendor.account("acme").configure(records=25)
    every = [json.loads(line) for line in door.vendor.account("acme").expected()]
    job_id = finished(door, q="select id, email from records where id > 20")
    wanted = [{"id": each["id"], "email": each["email"]} for each in every[20:]]

    plain = door.call("GET", f"/bulk/{job_id}/records")
    assert plain.headers["Content-Type"] == "text/csv"
    assert plain.headers["Content-Disposition"] == f'attachment; filename="records-{job_id}.csv"'
    assert [*csv.DictReader(io.StringIO(plain.text))] == [
        {"id": str(each["id"]), "email": each["email"]} for each in wanted
    ]
    as_json = door.call("GET", f"/bulk/{job_id}/otherName", headers={"Accept": "application/json"})
    assert as_json.headers["Content-Type"] == "application/json"
    assert [json.loads(line) for line in as_json.text.splitlines()] == wanted
    assert told(door, job_id)["fileSize"] == len(as_json.data)


@pytest.mark.parametrize("accept", ["", "*/*"])
def test_the_format_that_was_named_is_given_where_the_reader_leaves_the_choice(door: Door, accept: str) -> None:
    door.vendor.account("acme").configure(records=1)
    job_id = finished(door, q=EVERY, fileFormat="json")
    answer = door.call("GET", f"/bulk/{job_id}/records", headers={"Accept": accept} if accept else {})
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.data)["id"] == 1  # the vendor's own suite reads a single record so
    wanted = door.call("GET", f"/bulk/{job_id}/records", headers={"Accept": "text/csv"})
    assert wanted.headers["Content-Type"] == "text/csv"


def test_the_callback_has_the_older_fields_and_what_was_given_for_it(door: Door) -> None:
    door.vendor.account("acme").configure(records=5)
    answer = door.call(
        "POST",
        "/bulk/query",
        query_string={"q": EVERY},
        data={"metaData": '{"callback-payload": {"run": 7}}'},
        headers={"Elements-Async-Callback-Url": f"{door.vendor.url}/hook"},
    )
    job_id = accepted(answer)
    door.finish(job_id)
    with door.ctx.db.connection() as conn:
        owed = conn.execute("select url, body from deliveries where job_id = %s", (job_id,)).fetchall()
    body = json.loads(bytes(owed[0]["body"]))
    assert [each["url"] for each in owed] == [f"{door.vendor.url}/hook"]
    shown = {name: body[name] for name in ("id", "status", "fileFormat", "recordsCount", "recordsFailedCount")}
    assert shown == {
        "id": job_id,
        "status": "COMPLETED",
        "fileFormat": "csv",
        "recordsCount": 5,
        "recordsFailedCount": 0,
    }
    assert body["callback-payload"] == {"run": 7}
    assert "error" not in body


# What is refused, at once --------------------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"query_string": {"q": "select * contacts"}}, 400, "Error parsing query at character 10"),
    ({"json": {"query": "select * from records where id >"}}, 400, "Error parsing query at character 33"),
    ({}, 400, "Error parsing query: q is missing"),
    ({"query_string": {"q": ""}}, 400, "Error parsing query: q is missing"),
    ({"query_string": {"q": "select * from records order by id"}}, 400, "ORDER BY is not accepted"),
    ({"query_string": {"q": "select `a,b` from records"}}, 400, "'a,b' holds a comma"),
    ({"query_string": {"q": "select * from nothing_there"}}, 400, "has no object 'nothing_there'"),
    ({"query_string": {"continueFromJobId": "17"}}, 404, "There is no bulk job 17"),
    ({"query_string": {"continueFromJobId": "17", "q": EVERY}}, 400, "q is not accepted beside continueFromJobId"),
    ({"query_string": [("q", EVERY), ("q", "select id from records")]}, 400, "q is given twice"),
    ({"data": {"q": "select\0"}}, 400, "The call has a text with U+0000"),
    ({"query_string": {"q": EVERY}, "json": {"q": "select id from records"}}, 400, "q is given twice"),
    ({"json": {"query": EVERY, "where": "id > 5"}}, 400, "'where' is not accepted here: "),
    ({"data": {"q": EVERY, "limit": "5"}}, 400, "'limit' is not accepted here: "),
    ({"json": [EVERY]}, 400, "The body is an array; a JSON object is accepted"),
    ({"json": {"query": 5}}, 400, "q 5: a text of 1 to 20000 characters is accepted"),
    ({"data": "{", "content_type": "application/json"}, 400, "The body is not JSON"),
    ({"data": EVERY, "content_type": "text/plain"}, 415, "Content-Type 'text/plain' is not accepted with a body"),
    ({"data": "nothing", "content_type": "multipart/form-data"}, 400, "The body holds no form field"),
    ({"query_string": {"q": EVERY}, "data": {"metaData": "{"}}, 400, "metaData is not JSON"),
    ({"query_string": {"q": EVERY}, "data": {"metaData": "[]"}}, 400, "metaData is an array"),
    ({"query_string": {"q": EVERY}, "json": {"metaData": [1]}}, 400, "metaData is neither an object"),
    ({"query_string": {"q": EVERY}, "data": {"metaData": '{"fileName": "\\u0000"}'}}, 400, "metaData has a text"),
    ({"query_string": {"q": EVERY}, "json": {"metaData": {"pageSize": "many"}}}, 400, 'pageSize "many": a whole'),
    ({"query_string": {"q": EVERY, "lastRunDate": "soon"}}, 400, 'lastRunDate "soon": a date such as'),
    ({"query_string": {"q": EVERY, "from": "2024-02-01", "to": "2024-01-01"}}, 400, "is later than to"),
    ({"query_string": {"q": EVERY, "fileFormat": "xlsx"}}, 400, 'fileFormat "xlsx": csv, json or jsonl'),
    (
        {"query_string": {"q": EVERY}, "headers": {"Elements-Async-Callback-Url": "/formulas/instances/1/executions"}},
        400,
        "Elements-Async-Callback-Url '/formulas/instances/1/executions' is relative",
    ),
    (
        {"query_string": {"q": EVERY}, "headers": {"Elements-Async-Callback-Url": "https://10.0.0.1/x"}},
        400,
        "Elements-Async-Callback-Url: ",
    ),
]


@pytest.mark.parametrize(("sent", "status", "text"), REFUSED)
def test_what_cannot_be_meant_is_refused_before_anything_is_stored(
    door: Door, sent: dict[str, Any], status: int, text: str
) -> None:
    assert text in refused(door.call("POST", "/bulk/query", **sent), status)
    assert jobs_of(door) == 0


def test_a_date_without_a_field_says_what_to_add(door: Door) -> None:
    undated = {
        "format": 1,
        "key": "undated",
        "base_url": door.vendor.url,
        "auth": {"kind": "none"},
        "objects": {
            "things": {"list": {"path": "/none/records", "records": "", "page": {"kind": "none"}}},
            "closed": {"download": False, "list": {"path": "/x", "records": "", "page": {"kind": "none"}}},
            "made": {"dates": {"created": "born"}, "list": {"path": "/x", "records": "", "page": {"kind": "none"}}},
        },
    }
    made = door.call("POST", "/elements", as_=door.acme.platform, json=undated)
    assert made.status_code == 200, made.text
    instance = door.call(
        "POST", "/instances", as_=door.acme.platform, json={"element": {"key": "undated"}, "name": "u"}
    ).get_json()
    as_ = f"{door.acme.platform}, Element {instance['token']}"

    def asked(**parameters: str) -> TestResponse:
        return door.call("POST", "/bulk/query", as_=as_, query_string=parameters)

    message = refused(asked(q="select * from things", **{"from": "2024-01-01"}))
    assert "from has no date to be compared with" in message
    assert "dates: {updated: <field>}" in message
    accepted(asked(q="select * from things", filterDateField="born", **{"from": "2024-01-01"}))
    job_id = accepted(asked(q="select * from made", to="2024-01-01"))
    document = door.call("GET", f"/bulk/{job_id}/status", as_=as_).get_json()
    assert document["jobCriteria"]["filterDateField"] == "born"
    assert "Download of 'closed' is switched off" in refused(asked(q="select * from closed"))
    closed = door.call("POST", "/bulk/download", as_=as_, json={"objectName": "closed"})
    assert "Download of 'closed' is switched off" in refused(closed)


def test_where_of_a_download_is_parsed_at_once(door: Door) -> None:
    answer = door.call("POST", "/bulk/download", json={"objectName": "records", "where": "id > 5 and"})
    assert "where: Error parsing query at character 11" in refused(answer)
    assert jobs_of(door) == 0


# What a query job is -------------------------------------------------------------------------------------------------


def test_a_query_job_is_not_restarted(door: Door) -> None:
    job_id = accepted(door.call("POST", "/bulk/query", query_string={"q": EVERY}))
    assert "cannot be restarted" in refused(door.call("PUT", f"/bulk/v3/{job_id}/restart"))
    door.call("PUT", f"/bulk/{job_id}/cancel")
    assert "cannot be restarted" in refused(door.call("PUT", f"/bulk/v3/{job_id}/restart"))


def test_a_query_is_submitted_once_for_a_key(door: Door) -> None:
    keyed = {"Idempotency-Key": "k"}

    def asked(**sent: Any) -> TestResponse:
        return door.call("POST", "/bulk/query", **{**sent, "headers": {**keyed, **sent.get("headers", {})}})

    first = accepted(asked(query_string={"q": EVERY}))
    assert accepted(asked(json={"query": EVERY})) == first
    refused(asked(query_string={"q": f"{EVERY} limit 5"}), 422)
    refused(asked(query_string={"q": EVERY, "fileFormat": "csv"}, headers={"Elements-Version": "Helium"}), 422)
    assert jobs_of(door) == 1


def test_the_list_of_jobs_tells_queries(door: Door) -> None:
    text = "select id from records where id < 3"
    query = accepted(door.call("POST", "/bulk/query", query_string={"q": text}))
    download = door.submit()
    items = door.call("GET", "/bulk/jobs").get_json()
    shown = {item["job_id"]: (item["engine"], item["job_query"], item["fileFormat"]) for item in items}
    assert shown == {query: ("V2", text, "csv"), download: ("V3", None, "JSONL")}


def test_a_query_leaves_out_what_it_does_not_ask_for(door: Door) -> None:
    door.vendor.account("acme").configure(records=60)
    every = [json.loads(line) for line in door.vendor.account("acme").expected()]
    since = every[30]["updatedAt"]
    job_id = accepted(
        door.call(
            "POST",
            "/bulk/query",
            query_string={"q": "select id, email from records where id in (3, 33, 43, 53)", "lastRunDate": since},
        )
    )
    door.finish(job_id)
    wanted = [
        {"id": each["id"], "email": each["email"]}
        for each in every
        if each["id"] in {3, 33, 43, 53} and each["updatedAt"] >= since
    ]
    assert door.call("GET", f"/bulk/{job_id}/records/data").get_json() == wanted
    assert len(wanted) == 3
