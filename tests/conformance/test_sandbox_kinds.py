"""Each page kind of the sandbox, walked to its end by a client that knows nothing of it."""

from itertools import chain

import pytest

from app.sandbox import Account, SandboxServer, Shape, expected_record
from app.sandbox.records import facts
from tests.fakes.naive_client import WALKS, NaiveClient, Reply, walk

SIZE = 10
PAGED = [kind for kind in WALKS if kind != "none"]


@pytest.mark.parametrize("count", [0, 1, SIZE, SIZE + 1, 5 * SIZE + 3])
@pytest.mark.parametrize("kind", WALKS)
def test_a_walk_yields_every_record_once_in_order(client: NaiveClient, account: Account, kind: str, count: int) -> None:
    account.configure(records=count)
    pages = walk(client, kind, SIZE)
    assert list(chain(*pages)) == [expected_record(n) for n in range(1, count + 1)]
    if kind != "none":
        assert all(len(page) == SIZE for page in pages[:-1])


@pytest.mark.parametrize("kind", WALKS)
def test_a_walk_is_one_connection(client: NaiveClient, account: Account, kind: str) -> None:
    client.get("/page/records")
    port = client.local_port
    walk(client, kind, SIZE)
    assert client.local_port == port


@pytest.mark.parametrize("kind", PAGED)
def test_the_page_maximum_cuts_silently(client: NaiveClient, account: Account, kind: str) -> None:
    account.configure(records=25, page_max=4)
    pages = walk(client, kind, SIZE)
    first_pages = pages[:1] if kind in {"page", "page0"} else pages
    assert max(len(page) for page in first_pages) == 4


@pytest.mark.parametrize("kind", PAGED)
def test_without_a_size_a_page_has_a_hundred_records(client: NaiveClient, account: Account, kind: str) -> None:
    account.configure(records=300)
    client.get(f"/{kind}/records")
    assert account.log()[-1].records == 100


@pytest.mark.parametrize("kind", WALKS)
def test_a_field_as_parameter_filters(client: NaiveClient, account: Account, kind: str) -> None:
    account.configure(records=100)
    found = list(chain(*walk(client, kind, SIZE, "&group=a")))
    assert found == [expected_record(n) for n in range(1, 101) if facts(n, 0).group == "a"]
    assert found == list(account.expected(group="a"))
    assert 0 < len(found) < 100


def test_unknown_parameters_do_nothing_and_are_logged(client: NaiveClient, account: Account) -> None:
    assert len(client.get("/none/records?colour=red").records()) == 25
    assert account.log()[-1].query == "colour=red"


def test_totals_are_told_where_the_kind_has_them(client: NaiveClient) -> None:
    page = client.get("/page/records?per_page=10").json
    assert (page["total"], page["pages"]) == (25, 3)
    assert client.get("/offset/records?limit=10").json["count"] == 25
    assert client.get("/odata/records?$count=true").json["@odata.count"] == 25
    assert client.get("/odata2/records?$inlinecount=allpages").json["d"]["__count"] == "25"


def test_a_cursor_ends_by_being_absent(client: NaiveClient) -> None:
    assert "paging" not in client.get("/cursor/records?limit=100").json
    assert "x-next-cursor" not in client.get("/cursor-header/records?size=100").headers
    assert client.get("/next-url/records?limit=100").json["links"] == {"next": None}
    assert 'rel="next"' not in client.get("/link/records?per_page=100").headers["link"]
    assert "@odata.nextLink" not in client.get("/odata/records").json
    assert "__next" not in client.get("/odata2/records").json["d"]


def test_odata_top_limits_the_whole_list_and_stays_in_the_next_link(client: NaiveClient) -> None:
    prefer = {"Prefer": "odata.maxpagesize=5"}
    first = client.get("/odata/records?$top=12", prefer).json
    second = client.get(first["@odata.nextLink"].removeprefix(client.base), prefer).json
    third = client.get(second["@odata.nextLink"].removeprefix(client.base), prefer).json
    assert [len(page["value"]) for page in (first, second, third)] == [5, 5, 2]
    assert "$top=7" in first["@odata.nextLink"]
    assert "@odata.nextLink" not in third


def test_a_token_must_be_encoded_as_it_came(client: NaiveClient) -> None:
    token = client.get("/cursor/records?limit=10").json["paging"]["next"]["after"]
    assert "+" in token
    refused = client.get(f"/cursor/records?limit=10&after={token}")
    assert (refused.status, refused.json["error"]["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("/page/records?page=0", "page: '0'"),
        ("/page/records?page=two", "page: 'two'"),
        ("/offset/records?offset=-1", "offset: '-1'"),
        ("/keyset/records?limit=0", "limit: '0'"),
        ("/cursor/records?after=garbage", "'garbage'"),
        ("/cursor/records?after=v1%2B%2Fx", "'v1+/x'"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(client: NaiveClient, target: str, named: str) -> None:
    reply = client.get(target)
    assert reply.status == 400
    assert named in reply.json["error"]["message"]


def test_an_unknown_path_is_told_the_known_ones(client: NaiveClient) -> None:
    reply = client.get("/nothing/records")
    assert reply.status == 404
    assert "/odata2/records" in reply.json["error"]["message"]


def test_lists_are_only_read(client: NaiveClient) -> None:
    reply = client.send("POST", "/page/records", body=b"{}")
    assert (reply.status, reply.headers["allow"]) == (405, "GET")
    assert client.send("HEAD", "/page/records").status == 405
    assert client.get("/page/records").status == 200


def test_records_depend_on_seed_and_number_alone(sandbox: SandboxServer, account: Account, client: NaiveClient) -> None:
    account.configure(records=3, seed=9)
    assert client.get("/none/records").records() == [expected_record(n, seed=9) for n in (1, 2, 3)]
    assert expected_record(1, seed=9) != expected_record(1)
    assert expected_record(7, Shape(seed=9)) == expected_record(7, seed=9)


def test_the_bytes_of_a_record_do_not_change_between_versions() -> None:
    assert expected_record(3).decode() == (
        '{"id":3,"name":"Barbara Hopper","email":"user3.7267@example.test","group":"b","active":false,"archived":true,'
        '"createdAt":"2024-01-01T00:03:00Z","updatedAt":"2024-01-02T00:00:00Z","amount":7267.30,'
        '"balance":210500345268820434324000000003,"score":4.5E+4,"note":"note 47",'
        '"address":{"zip":"34324","city":"Kyoto","geo":{"lat":64.101,"lon":-64.950}},"tags":[["nested"],{"k":1}]}'
    )


def test_several_records_share_one_update_time() -> None:
    times = [Reply(200, {}, expected_record(n)).json["updatedAt"] for n in range(1, 101)]
    assert times == sorted(times)
    assert len(set(times)) == 21
