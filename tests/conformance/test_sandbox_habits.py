"""Each download habit of the sandbox, one by one."""

import gzip
import zlib
from email.utils import parsedate_to_datetime
from itertools import chain, islice
from urllib.parse import urlencode, urlsplit

import pytest

from app.sandbox import Account, Shape, expected_record
from app.sandbox.records import DATE_FORMS
from tests.fakes.naive_client import WALKS, NaiveClient, Reply, next_of_link_header, walk

TOKEN_KINDS = ["cursor", "cursor-header", "next-url", "link", "odata", "odata2"]
LINK_KINDS = {"next-url": ["limit=10"], "link": ["per_page=10"], "odata": [], "odata2": []}


def next_link(client: NaiveClient, kind: str) -> str:
    reply = client.get(f"/{kind}/records?limit=10&per_page=10", {"Prefer": "odata.maxpagesize=10"})
    if kind == "link":
        return next_of_link_header(reply) or ""
    document = reply.json
    link: str = {
        "next-url": lambda: document["links"]["next"],
        "odata": lambda: document["@odata.nextLink"],
        "odata2": lambda: document["d"]["__next"],
    }[kind]()
    return link


# Where lists end


@pytest.mark.parametrize(
    "target",
    ["/page/records?page=4&per_page=10", "/page0/records?page=3&per_page=10", "/offset/records?offset=30&limit=10"],
)
def test_past_the_end(client: NaiveClient, account: Account, target: str) -> None:
    seen = {}
    for form in ("empty", "repeat_last", "400", "404"):
        account.configure(habits={"past_end": form})
        reply = client.get(target)
        seen[form] = (reply.status, account.log()[-1].first_id, account.log()[-1].last_id)
    assert seen == {
        "empty": (200, None, None),
        "repeat_last": (200, 21, 25),
        "400": (400, None, None),
        "404": (404, None, None),
    }


def test_past_the_end_of_a_keyset_list(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"past_end": "repeat_last"})
    client.get("/keyset/records?after_id=25&limit=10")
    assert (account.log()[-1].first_id, account.log()[-1].last_id) == (21, 25)


def test_the_total_lies(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"total": 11})
    assert client.get("/offset/records").json["count"] == 11
    assert client.get("/page/records?per_page=5").json["pages"] == 3
    assert len(list(chain(*walk(client, "page", 5)))) == 25


def test_the_total_is_absent(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"total": "absent"})
    assert client.get("/offset/records").json.keys() == {"records"}
    assert client.get("/page/records").json.keys() == {"data"}
    assert client.get("/odata/records?$count=true").json.keys() == {"value"}


@pytest.mark.parametrize("kind", TOKEN_KINDS)
def test_a_token_on_the_last_page_costs_one_empty_call(client: NaiveClient, account: Account, kind: str) -> None:
    account.configure(records=20, habits={"trailing_token": True})
    assert [len(page) for page in walk(client, kind, 10)] == [10, 10, 0]


@pytest.mark.parametrize("kind", TOKEN_KINDS)
def test_empty_pages_with_new_cursors(client: NaiveClient, account: Account, kind: str) -> None:
    account.configure(records=15, habits={"empty_pages": 3})
    pages = walk(client, kind, 10)
    assert [len(page) for page in pages] == [0, 0, 0, 10, 0, 0, 0, 5]
    assert list(chain(*pages)) == list(account.expected())
    assert len({entry.query for entry in account.log()}) == 8


@pytest.mark.parametrize("length", [1, 2])
def test_a_cursor_loop(client: NaiveClient, account: Account, length: int) -> None:
    account.configure(records=100, habits={"cursor_loop": 3, "cursor_loop_length": length})
    tokens = [""]
    for _ in range(7):
        reply = client.get(f"/cursor-header/records?{urlencode({'size': 10, 'cursor': tokens[-1]})}")
        tokens.append(reply.headers["x-next-cursor"])
    assert len(set(tokens[1:])) == 2
    assert tokens[3] == (tokens[2] if length == 1 else tokens[1])
    assert [entry.first_id for entry in account.log()][-2:] == ([21, 21] if length == 1 else [11, 21])


# Page size


@pytest.mark.parametrize("kind", [kind for kind in WALKS if kind != "none"])
def test_a_page_size_over_the_maximum_is_refused(client: NaiveClient, account: Account, kind: str) -> None:
    account.configure(page_max=10, habits={"over_max": "400"})
    size = {"Prefer": "odata.maxpagesize=11"}
    assert client.get(f"/{kind}/records?limit=11&per_page=11&size=11", size).status == 400
    assert client.get(f"/{kind}/records?limit=10&per_page=10&size=10").status == 200


# Links


@pytest.mark.parametrize("kind", LINK_KINDS)
def test_next_links_are_relative(client: NaiveClient, account: Account, kind: str) -> None:
    account.configure(habits={"next_links": "relative"})
    assert next_link(client, kind).startswith(f"/{kind}/records?")
    assert list(chain(*walk(client, kind, 10))) == list(account.expected())


@pytest.mark.parametrize("kind", LINK_KINDS)
def test_next_links_name_another_host(client: NaiveClient, account: Account, kind: str) -> None:
    account.configure(habits={"next_links": "other_host"})
    there = urlsplit(next_link(client, kind))
    assert (there.hostname, there.port) == ("localhost", urlsplit(client.base).port)
    account.configure(habits={"next_links": "http://169.254.169.254"})
    assert next_link(client, kind).startswith("http://169.254.169.254/")


def test_next_links_encode_the_dollar(client: NaiveClient, account: Account) -> None:
    assert "$skiptoken=" in next_link(client, "odata")
    account.configure(habits={"encode_dollar": True})
    assert "%24skiptoken=" in next_link(client, "odata")
    assert list(chain(*walk(client, "odata", 10))) == list(account.expected())


# Which records, in what order


@pytest.mark.parametrize("kind", [kind for kind in WALKS if kind != "keyset"])
def test_newest_first(client: NaiveClient, account: Account, kind: str) -> None:
    account.configure(habits={"order": "newest_first"})
    assert list(chain(*walk(client, kind, 10))) == list(account.expected())[::-1]


def test_a_sorted_list_begins_with_the_oldest(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"order": "newest_first"})
    assert client.get("/offset/records?sort=id").records("records") == list(account.expected())


def test_a_growing_newest_first_list_doubles_records_by_offset_but_not_by_cursor(
    client: NaiveClient, account: Account
) -> None:
    growing = {"order": "newest_first", "grows": 1}
    account.configure(records=20, habits=growing)
    by_offset = list(chain(*islice(WALKS["offset"](client, 10, ""), 3)))
    account.configure(records=20, habits=growing)
    by_cursor = list(chain(*walk(client, "cursor", 10)))
    assert len(by_offset) > len(set(by_offset))
    assert sorted(by_cursor) == sorted(account.expected())


def test_archived_records_are_hidden_unless_asked_for(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"hide_archived": True})
    assert client.get("/none/records").records() == list(account.expected(archived="false"))
    assert client.get("/none/records?archived=all").records() == list(account.expected())
    assert client.get("/page/records").json["total"] == 17


def test_tombstones(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"tombstones_every": 10})
    assert [record["id"] for record in client.get("/none/records").json if "deleted" in record] == [10, 20]


# How records are written


def test_strange_text_keeps_its_bytes(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"text": "strange"})
    body = client.get("/none/records").body
    assert body == b"[" + b",".join(account.expected()) + b"]"
    for part in (b"\\ud83d here", b"\\u0000", "\U0001f600".encode(), b"\\/", "\u2028".encode(), b"\x7f"):
        assert part in body


@pytest.mark.parametrize("form", DATE_FORMS)
def test_date_forms(client: NaiveClient, account: Account, form: str) -> None:
    account.configure(habits={"dates": form})
    shown = {
        "iso": "2024-01-01T00:01:00Z",
        "space": "2024-01-01 00:01:00",
        "naive": "2024-01-01T00:01:00",
        "epoch": 1704067260,
        "epoch_ms": 1704067260000,
        "odata2": "/Date(1704067260000)/",
    }
    assert client.get("/none/records").json[0]["createdAt"] == shown[form]


def test_numbers_as_strings_and_wrapped_records(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"numbers": "strings", "wrap_records": "data"})
    record = client.get("/none/records").json[0]["data"]
    assert (record["id"], record["amount"]) == ("1", "8301.70")
    assert client.get("/none/records").records()[0] == expected_record(1, Shape(numbers="strings", wrap_records="data"))


def test_giant_records(client: NaiveClient, account: Account) -> None:
    account.configure(records=4, habits={"pad_bytes": 3_000_000, "pad_every": 2})
    sizes = [len(record) for record in client.get("/none/records").records()]
    assert [size > 3_000_000 for size in sizes] == [False, True, False, True]


# How the answer is written


def test_pretty_json_is_the_same_values(client: NaiveClient, account: Account) -> None:
    plain = client.get("/page/records").json
    account.configure(habits={"json": "pretty"})
    body = client.get("/page/records").body
    assert body.startswith(b'{\n  "data" : [\n    {\n      "id" : 1,\n')
    assert b'"amount" : 8301.70' in body
    assert Reply(200, {}, body).json == plain


@pytest.mark.parametrize("text", ["plain", "strange"])
def test_ascii_json(client: NaiveClient, account: Account, text: str) -> None:
    account.configure(habits={"json": "ascii", "text": text})
    body = client.get("/none/records").body
    assert body.isascii()
    assert body == b"[" + b",".join(account.expected()) + b"]"


def test_a_byte_order_mark(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"json": "bom"})
    assert client.get("/none/records").body.startswith(b"\xef\xbb\xbf[")


def test_gzip_when_accepted(client: NaiveClient, account: Account) -> None:
    plain = client.get("/none/records").body
    account.configure(habits={"gzip": "accepted"})
    assert client.get("/none/records").body == plain
    packed = client.get("/none/records", {"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert zlib.decompress(packed.body, wbits=31) == plain


def test_gzip_always(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"gzip": "always"})
    assert client.get("/none/records").headers["content-encoding"] == "gzip"


def test_gzip_of_two_members(client: NaiveClient, account: Account) -> None:
    plain = client.get("/none/records").body
    account.configure(habits={"gzip": "members"})
    packed = client.get("/none/records", {"Accept-Encoding": "gzip"}).body
    first = zlib.decompressobj(wbits=31)
    assert len(first.decompress(packed)) < len(plain)
    assert first.unused_data
    assert gzip.decompress(packed) == plain


def test_chunked(client: NaiveClient, account: Account) -> None:
    plain = client.get("/none/records").body
    account.configure(habits={"chunked": True})
    reply = client.get("/none/records")
    assert (reply.headers["transfer-encoding"], reply.body) == ("chunked", plain)
    assert "content-length" not in reply.headers


def test_connection_close_after_each_answer(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"connection": "close"})
    assert client.get("/none/records").headers["connection"] == "close"
    assert list(chain(*walk(client, "cursor", 10))) == list(account.expected())


def test_a_new_cookie_on_each_answer(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"cookies": True})
    first, second = (client.get("/none/records").headers["set-cookie"] for _ in range(2))
    assert first != second
    client.get("/none/records", {"Cookie": "session=1"})
    assert account.log()[-1].headers["cookie"] == "session=1"


def test_content_type(client: NaiveClient, account: Account) -> None:
    assert client.get("/none/records").headers["content-type"] == "application/json"
    account.configure(habits={"content_type": "text/plain; charset=utf-8"})
    assert client.get("/none/records").headers["content-type"] == "text/plain; charset=utf-8"


def test_the_date_header_is_the_vendors_clock(client: NaiveClient, account: Account) -> None:
    account.configure(habits={"clock_skew_s": 86_400})
    date = parsedate_to_datetime(client.get("/none/records").headers["date"])
    assert 86_390 < (date - account.log()[-1].at).total_seconds() < 86_410
