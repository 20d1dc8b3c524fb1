"""The pool on a server that goes away and comes back."""

import select
import threading

import pytest

from app.db.pool import Database
from app.errors import CommitInDoubtError, DatabaseUnavailableError
from app.local.postgres import PostgresServer
from tests.fixtures.proxy import MakeProxy


def test_connections_kept_over_a_restart_cost_no_failed_statement(pg_server: PostgresServer) -> None:
    db = Database(pg_server.url, max_size=4)
    db.open()
    meeting = threading.Barrier(4)

    def hold() -> None:
        with db.connection():
            meeting.wait(10)

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pg_server.restart_immediately()
    for _ in range(8):
        with db.connection() as conn:
            assert conn.execute("select 1 as one").fetchone() == {"one": 1}
    db.close()


def test_whoever_waits_for_a_server_that_is_away_gets_it_when_it_is_back(pg_server: PostgresServer) -> None:
    db = Database(pg_server.url, wait_s=60)
    db.open()
    with db.connection() as conn:
        conn.execute("select 1")
    pg_server.kill()
    is_asking = threading.Event()
    answers: list[object] = []

    def ask() -> None:
        is_asking.set()
        with db.connection() as conn:
            answers.append(conn.execute("select 1 as one").fetchone())

    thread = threading.Thread(target=ask)
    thread.start()
    is_asking.wait()
    pg_server.start()
    thread.join(30)
    assert answers == [{"one": 1}]
    db.close()


def test_a_server_that_stays_away_is_an_error_of_ours(pg_server: PostgresServer) -> None:
    db = Database(pg_server.url, wait_s=0)
    db.open()
    pg_server.kill()
    with pytest.raises(DatabaseUnavailableError), db.connection():
        pass
    db.close()


def test_a_connection_that_breaks_at_commit_leaves_a_doubt_and_before_it_none(
    database_url: str, make_proxy: MakeProxy
) -> None:
    proxy = make_proxy(database_url)
    db = Database(proxy.url(database_url))
    db.open()
    with db.connection() as conn:
        conn.execute("create table marks (n int)")
    proxy.cut_requests("insert")
    with pytest.raises(DatabaseUnavailableError), db.transaction() as conn:
        conn.execute("insert into marks values (1)")
    proxy.cut_replies("COMMIT")
    with pytest.raises(CommitInDoubtError), db.transaction() as conn:
        conn.execute("insert into marks values (2)")
    with db.connection() as conn:
        assert conn.execute("select n from marks").fetchall() == [{"n": 2}]
    db.close()


def test_a_server_that_only_reads_any_more_is_as_good_as_away(database_url: str) -> None:
    db = Database(database_url)
    db.open()
    with db.connection() as conn:
        conn.execute("set default_transaction_read_only = on")
        with pytest.raises(DatabaseUnavailableError, match="read-only"), db.guard():
            conn.execute("delete from jobs")
    db.close()


_GAVE_UP = "idle-in-transaction|server closed the connection"  # libpq may meet the end before it has read why


def test_a_server_that_gave_up_a_frozen_client_is_as_good_as_away(database_url: str) -> None:
    """A process that was stopped inside a transaction and goes on later meets this."""
    database = Database(database_url)
    database.open()
    with database.connection() as conn:
        conn.execute("begin")
        conn.execute("set local idle_in_transaction_session_timeout = 1")
        assert select.select([conn], [], [], 30)[0], "its goodbye has arrived"
        with pytest.raises(DatabaseUnavailableError, match=_GAVE_UP), database.guard():
            conn.execute("select 1")
    database.close()
