"""The databases of the tests: one that was used and emptied is as good as a new copy, or it is dropped."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.fixtures import databases as module
from tests.fixtures.databases import Databases


@pytest.fixture
def own(admin_database_url: str) -> Iterator[Databases]:
    with closing(Databases(admin_database_url)) as made:
        yield made


def execute(own: Databases, name: str, *statements: str) -> None:
    with psycopg.connect(own.url(name), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def names(own: Databases) -> set[str]:
    with psycopg.connect(own.url(own.template)) as connection:
        return {str(name) for (name,) in connection.execute("select datname from pg_database")}


def contents(own: Databases, name: str) -> dict[str, object]:
    """Everything in the tables and where the sequences stand."""
    with psycopg.connect(own.url(name)) as connection:
        tables = connection.execute("select oid::regclass::text from pg_class where relkind = 'r' and oid >= 16384")
        found: dict[str, object] = {
            table: connection.execute(f"select * from {table}".encode()).fetchall() for (table,) in tables.fetchall()
        }
        found["sequences"] = connection.execute(
            "select sequencename, start_value, last_value from pg_sequences order by 1"
        ).fetchall()
    return found


def test_a_used_database_comes_again_under_another_name_and_as_new(own: Databases) -> None:
    first = own.take()
    fresh = contents(own, first)
    execute(
        own,
        first,
        "insert into organisations (id, name) values (nextval('organisation_numbers'), 'acme')",
        "insert into users (id, organisation_id, name) select 1, id, 'engineer' from organisations",
        "insert into tokens (organisation_id, hash, hint) select id, '', 'abc' from organisations",
    )
    assert contents(own, first) != fresh
    own.give_back(first)
    after = names(own)
    second = own.take()
    assert second in after, "the database was not kept"
    assert second != first
    assert first not in after
    assert contents(own, second) == fresh
    own.give_back(second)


@pytest.mark.parametrize(
    "change",
    [
        "create table marks (n integer)",
        "create function one() returns integer language sql as 'select 1'",
        "create trigger marks before insert on jobs execute function suppress_redundant_updates_trigger()",
        "alter table jobs alter column id set default 7",
        "alter table organisations drop constraint organisations_name_key",
        "create schema other",
        "analyze organisations",
        "do $$ begin execute format('alter database %I set work_mem = 64', current_database()); end $$",
        "insert into organisations (id, name) select n, n from generate_series(1, 9) n",
    ],
)
def test_what_cannot_be_made_as_new_is_dropped(own: Databases, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 8)
    name = own.take()
    before = names(own)
    execute(own, name, "insert into organisations (id, name) values (-1, 'acme')", change)
    own.give_back(name)
    assert names(own) == before - {name}


def test_a_user_who_may_not_empty_it_gets_new_ones(admin_database_url: str) -> None:
    role, secret = f"limited_{uuid.uuid4().hex}", uuid.uuid4().hex
    address = urlsplit(admin_database_url)
    limited = urlunsplit(address._replace(netloc=f"{role}:{secret}@{address.hostname}:{address.port}"))
    with psycopg.connect(admin_database_url, autocommit=True) as admin:
        admin.execute(f"create role {role} login createdb password '{secret}'".encode())
        try:
            with closing(Databases(limited)) as own:
                name = own.take()
                before = names(own)
                own.give_back(name)
                assert names(own) == before - {name}
        finally:
            admin.execute(f"drop role {role}".encode())


def test_after_so_many_tests_it_is_dropped(own: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TESTS", 2)
    own.give_back(own.take())
    second = own.take()
    before = names(own)
    own.give_back(second)
    assert names(own) == before - {second}


def test_who_is_left_over_is_cut_and_does_not_come_back(own: Databases) -> None:
    name = own.take()
    with psycopg.connect(own.url(name)) as left_over:
        left_over.execute("insert into organisations (id, name) values (1, 'acme')")  # and holds its lock
        own.give_back(name)
        after = names(own)
        with pytest.raises(psycopg.OperationalError):
            left_over.execute("select 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(own.url(name))
    kept = own.take()
    assert kept in after, "the database was not kept"
    own.give_back(kept)
