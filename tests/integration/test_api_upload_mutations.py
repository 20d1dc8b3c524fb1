"""Forms that were damaged in every way: each is a job with its file, or a refusal that leaves nothing."""

from random import Random

from tests.fixtures.door import Door
from tests.fixtures.forms import BOUNDARY, CSV, END, FILE, FORM, about, part

BODIES = 500
SEED = 20261122
_LINE = f"--{BOUNDARY}".encode()
_WHOLE = [
    about(action="upsert", identifierFieldName="email") + FILE + END,
    FILE + about(format="json", bulkUploadRecordSize="7", fileName="{yyyy-MM-dd HH:mm:ss}_a") + END,
    part("comment", b"\r\n" + _LINE[:-1]) + part("file", CSV * 200, head=b"Content-Type: text/csv\r\n") + END,
]
_SPLINTERS = [
    b"\r",
    b"\n",
    b"\r\n\r\n",
    b"\0",
    b"\xff\xfe",
    b'"',
    b";",
    b":",
    b"-" * 3,
    b" " * 100,
    b"\\",
    b"=?utf-8?q?=00?=",
    b"filename*=UTF-8''%ff%00",
    b"name*0=fi; name*1=le",
    b'{"a":' * 40,
    b"\xed\xa0\x80",
    b"1e999",
    b"x" * 20_000,
    _LINE,
    _LINE + b"--",
    b"\r\n" + _LINE + b"\r\n",
    END,
    FILE,
    about(path="/{id}/x", encoding="utf-16", **{"callback-payload": "\u20ac"}),
]


def mutated(chance: Random) -> bytes:
    """One of the whole forms after one to four accidents."""
    body = bytearray(chance.choice(_WHOLE))
    for _ in range(chance.randint(1, 4)):
        begin = chance.randrange(len(body) + 1)
        end = min(len(body), begin + chance.choice([0, 1, 2, 10, 100]))
        kind = chance.randrange(6)
        if kind == 0:
            body[begin:end] = b""
        elif kind == 1:
            body[begin:end] = chance.randbytes(end - begin)
        elif kind == 2:
            body[begin:begin] = body[begin:end] * 2
        elif kind == 3:
            del body[begin + 1 :]
        else:
            body[begin : begin if kind == 4 else end] = chance.choice(_SPLINTERS)
    return bytes(body)


def content_type(chance: Random) -> str:
    """The right one nine times of ten."""
    if chance.randrange(10):
        return FORM
    return chance.choice([
        FORM + " ",
        FORM + "; charset=utf-16",
        FORM + "\u20ac",
        FORM.replace("a-", '"a-'),
        "multipart/form-data; boundary=-",
        "multipart/form-data; boundary*0=a-; boundary*1=boundary",
        "multipart/form-data",
        "MULTIPART/FORM-DATA; BOUNDARY=" + BOUNDARY,
    ])  # fmt: skip


def test_no_damaged_form_is_a_crash_or_leaves_anything(door: Door) -> None:
    chance = Random(SEED)
    answers: dict[int, int] = {}
    for number in range(BODIES):
        body, kind = mutated(chance), content_type(chance)
        answer = door.call("POST", "/bulk/people", data=body, content_type=kind)
        assert answer.status_code in {200, 400, 413, 415}, (number, kind, body[:1000], answer.text)
        answers[answer.status_code] = answers.get(answer.status_code, 0) + 1
    with door.ctx.db.connection() as conn:
        row = conn.execute(
            "select (select count(*) from intakes)::int as intakes, (select count(*) from jobs)::int as jobs,"
            ' array(select object_key from uploads order by object_key collate "C") as keys'
        ).fetchone()
    assert row is not None
    assert (row["intakes"], row["jobs"]) == (0, answers[200])
    assert row["keys"] == list(door.ctx.store.list("uploads/"))
    assert answers[200] > BODIES // 20, "some accidents do no harm"
    assert answers[400] > BODIES // 3
