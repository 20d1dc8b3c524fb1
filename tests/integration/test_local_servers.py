"""The embedded PostgreSQL and Valkey: killed, restarted, flushed, and never left behind."""

import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.local.errors import LocalError
from app.local.postgres import PostgresServer
from app.local.procfile import CHECKOUT
from app.local.valkey import ValkeyServer
from tests.fixtures.databases import Databases
from tests.fixtures.postgres import throwaway_folder
from tests.fixtures.waiting import wait_until

_OWNER = """
import sys
from pathlib import Path
from app.local.postgres import PostgresServer
from app.local.valkey import ValkeyServer
root = Path(sys.argv[1])
servers = [kind(root / kind.__name__, durable=False, throwaway=True) for kind in (PostgresServer, ValkeyServer)]
for server in servers:
    server.start()
print(*(server._process.pid for server in servers), flush=True)
sys.stdin.read()
"""


def write_row(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table if not exists kept (value int)")
        connection.execute("insert into kept values (1)")


def count_rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*) from kept").fetchone()
    assert row is not None
    return int(row[0])


def test_committed_rows_survive_every_way_to_end_postgres(pg_server: PostgresServer) -> None:
    write_row(pg_server.url)
    pg_server.restart_immediately()
    write_row(pg_server.url)
    pg_server.kill()
    with pytest.raises(psycopg.OperationalError):
        count_rows(pg_server.url)
    pg_server.start()
    assert count_rows(pg_server.url) == 2


def test_postgres_comes_back_under_open_sessions_on_the_same_url(pg_server: PostgresServer) -> None:
    url = pg_server.url
    with psycopg.connect(url) as session:
        session.execute("select 1")
        pg_server.kill()
        pg_server.start()
        with pytest.raises(psycopg.OperationalError):
            session.execute("select 1")
    assert pg_server.url == url


def test_postgres_refuses_a_wrong_password(pg_server: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(pg_server.url, password="wrong")


def test_postgres_that_cannot_start_says_why() -> None:
    blocked = PostgresServer(throwaway_folder("postgres"), durable=False, throwaway=True)
    blocked.start()
    blocked.kill()
    (blocked.folder / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(LocalError, match="no_such_setting"):
        blocked.start()
    blocked.stop()
    assert not blocked.folder.exists()


def test_valkey_is_killed_started_and_flushed_on_the_same_url(valkey_server: ValkeyServer) -> None:
    url = valkey_server.url
    with redis.Redis.from_url(url) as client:
        client.set("key", "value")
        valkey_server.flush()
        assert client.get("key") is None
        valkey_server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        valkey_server.start()
        assert client.ping()
    assert valkey_server.url == url


def test_valkey_refuses_without_password(valkey_server: ValkeyServer) -> None:
    with (
        redis.Redis(port=valkey_server.port, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_a_durable_valkey_keeps_its_keys_over_a_restart() -> None:
    server = ValkeyServer(throwaway_folder("valkey"), durable=True)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.set("key", "value")
        server.stop()
        server.start()
        assert client.get("key") == b"value"
    server.throwaway = True
    server.stop()


def test_servers_and_their_files_are_gone_when_their_owner_is_killed() -> None:
    root = throwaway_folder("owner")
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, root],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 2
        owner.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), f"processes {pids} to end")
    wait_until(lambda: not any(root.iterdir()), "the servers' folders to be deleted")
    root.rmdir()


def test_each_test_gets_a_migrated_database_of_its_own(database_url: str, databases: Databases) -> None:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("select current_database(), to_regclass('migrations') is not null").fetchone()
    assert row is not None
    assert row[0] != databases.template
    assert row[1]
