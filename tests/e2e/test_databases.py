"""Declared databases, each against a real server: up, down, frozen, and with every password."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pymysql
import pytest
import redis
from psycopg import sql

from petsage.checks import CheckFailed
from tests.certificates import Authority, Files
from tests.declared import AWKWARD_PASSWORDS, check_of, verdict, verdicts_where_names_have
from tests.e2e import servers
from tests.e2e.servers import HOST, Server
from tests.hostile import relay, swallowing
from tests.support import PETSAGE, free_port, get, served, wait_until


@dataclass(frozen=True)
class _Kind:
    """What tests need of a kind of server beyond asking it through PetSage."""

    scheme: str
    server: Server
    path: str
    set_password: Callable[[Server, str], None]
    """Makes a user `app` with this password, or changes it."""
    connections: Callable[[Server], int]
    """How many clients are connected, the one that asks included."""
    refusal: str
    """What the driver says of a wrong password."""

    def url(self, password: str, options: str = "") -> str:
        login = f"app:{quote(password, safe='')}"
        return f"{self.scheme}://{login}@{HOST}:{self.server.port}{self.path}#{options}"


def _postgresql(server: Server) -> "psycopg.Connection[tuple[int]]":
    login = f"host={HOST} port={server.port} user={server.user} password={server.password}"
    return psycopg.connect(f"{login} dbname=postgres", autocommit=True)


def _set_postgresql_password(server: Server, password: str) -> None:
    with _postgresql(server) as connection:
        known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'app'").fetchone()
        statement = "ALTER ROLE app PASSWORD {}" if known else "CREATE ROLE app LOGIN PASSWORD {}"
        connection.execute(sql.SQL(statement).format(password))


def _postgresql_connections(server: Server) -> int:
    with _postgresql(server) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        return connection.execute(query).fetchall()[0][0]


def _mariadb(server: Server) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    return pymysql.connect(
        host=HOST, port=server.port, user=server.user, password=server.password, charset="utf8mb4"
    )


def _set_mariadb_password(server: Server, password: str) -> None:
    with closing(_mariadb(server)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE USER app@'%%' IDENTIFIED BY %s", [password])


def _mariadb_connections(server: Server) -> int:
    with closing(_mariadb(server)) as connection, connection.cursor() as cursor:
        return cursor.execute(
            "SELECT 1 FROM information_schema.processlist WHERE user <> 'system user'"
        )


def _redis(server: Server) -> redis.Redis:
    return redis.Redis(HOST, server.port, password=server.password)


def _set_redis_password(server: Server, password: str) -> None:
    with _redis(server) as client:
        client.acl_setuser(
            "app", enabled=True, reset=True, passwords=[f"+{password}"], commands=["+@all"]
        )


def _redis_connections(server: Server) -> int:
    with _redis(server) as client:
        return len(client.client_list())


@pytest.fixture(scope="module")
def postgresql() -> Iterator[_Kind]:
    with servers.postgresql() as server:
        yield _Kind(
            "postgresql",
            server,
            "/postgres",
            _set_postgresql_password,
            _postgresql_connections,
            'password authentication failed for user "app"',
        )


@pytest.fixture(scope="module")
def mysql() -> Iterator[_Kind]:
    with servers.mariadb() as server:
        yield _Kind(
            "mysql",
            server,
            "/information_schema",
            _set_mariadb_password,
            _mariadb_connections,
            "Access denied for user 'app'@'127.0.0.1' (using password: YES)",
        )


@pytest.fixture(scope="module")
def plain_redis() -> Iterator[_Kind]:
    with servers.redis() as server:
        yield _Kind(
            "redis",
            server,
            "/0",
            _set_redis_password,
            _redis_connections,
            "invalid username-password pair or user is disabled.",
        )


@pytest.fixture(params=["postgresql", "mysql", "plain_redis"])
def kind(request: pytest.FixtureRequest) -> _Kind:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, _Kind)
    return found


@pytest.mark.parametrize("password", ["s3cret", *AWKWARD_PASSWORDS])
def test_a_password_of_any_characters_works_when_it_is_encoded(kind: _Kind, password: str) -> None:
    kind.set_password(kind.server, password)
    assert verdict(kind.url(password)) == ""


def test_a_wrong_password_fails_and_is_shown_nowhere(kind: _Kind) -> None:
    kind.set_password(kind.server, "another")
    assert kind.refusal in verdict(kind.url("s3cret"), "s3cret")


def test_a_password_is_read_from_its_file_at_each_run(kind: _Kind, tmp_path: Path) -> None:
    file = tmp_path / "password"
    url = f"{kind.scheme}://app@{HOST}:{kind.server.port}{kind.path}#password-file={file}"
    check = check_of(url)
    for number, password in enumerate(AWKWARD_PASSWORDS):
        kind.set_password(kind.server, password)
        with pytest.raises(CheckFailed) as failed:
            check.run()
        assert password not in str(failed.value)
        assert str(file) not in str(failed.value)
        file.write_text(password + ("", "\n")[number % 2], encoding="utf-8")
        assert check.run() is None


def test_no_connection_is_held_between_runs(kind: _Kind) -> None:
    kind.set_password(kind.server, "s3cret")
    for password in ("s3cret", "wrong") * 3:
        verdict(kind.url(password))
    wait_until(lambda: kind.connections(kind.server) == 1)


def test_a_database_that_does_not_exist_fails(postgresql: _Kind, mysql: _Kind) -> None:
    for kind in (postgresql, mysql):
        kind.set_password(kind.server, "s3cret")
        reason = verdict(kind.url("s3cret").replace(kind.path, "/no%20such"), "s3cret")
        assert "no such" in reason


@pytest.mark.parametrize("drips", [b"", b"\xff\x00\x00\x01\x00\x00\x00\x00\x00" + bytes(99)])
def test_a_server_that_hangs_after_the_login_ends_one_run_and_the_next_is_a_new_connection(
    kind: _Kind, drips: bytes
) -> None:
    kind.set_password(kind.server, "s3cret")
    hold = b"PING" if kind.scheme == "redis" else b"SELECT 1"
    lead = {"redis": b"+", "postgresql": b"N\x00\x00\x40\x00"}.get(kind.scheme, b"")
    with relay(kind.server.port, hold, drips and lead + drips) as (port, holding):
        url = kind.url("s3cret", "timeout=1").replace(f":{kind.server.port}", f":{port}")
        assert verdict(url) == ""
        holding.set()
        began = time.monotonic()
        assert verdict(url, "s3cret") == "timed out"
        assert 1 <= time.monotonic() - began < 2
        holding.clear()
        assert verdict(url) == ""


def test_an_address_that_swallows_packets_leaves_time_for_the_next(postgresql: _Kind) -> None:
    postgresql.set_password(postgresql.server, "s3cret")
    url = postgresql.url("s3cret", "timeout=2").replace(f"@{HOST}", "@db.example")
    with swallowing("127.0.0.2", postgresql.server.port):
        assert verdicts_where_names_have(("127.0.0.2", HOST), url) == [""]


def test_postgresql_takes_the_forms_that_psql_takes(postgresql: _Kind) -> None:
    server = postgresql.server
    login = f"postgresql://{server.user}:{server.password}"
    socket = quote(str(server.folder), safe="")
    for form in (
        f"{login}@/postgres?host={server.folder}&port={server.port}",
        f"{login}@{socket}:{server.port}/postgres",
        f"postgresql:///postgres?host={socket}&port={server.port}"
        f"&user={server.user}&password={server.password}",
        f"{login}@{HOST}:{free_port()},{HOST}:{server.port}/postgres",
        f"{login}@[::1]:{free_port()},127.0.0.3,{HOST}:{server.port}/postgres"
        "?target_session_attrs=read-write",
        f"{login}@/postgres?host={HOST},{HOST}&port={free_port()},{server.port}",
    ):
        assert verdict(form, server.password) == ""
    last = verdict(f"{login}@{HOST}:{server.port}/postgres?target_session_attrs=standby")
    assert "server is not in hot standby mode" in last


def test_the_form_without_a_host_is_where_libpq_looks(postgresql: _Kind) -> None:
    server = postgresql.server
    url = f"postgresql://{server.user}:{server.password}@/postgres"
    where = {"PGHOST": str(server.folder), "PGPORT": str(server.port)}
    done = subprocess.run([PETSAGE, "check", url], env=os.environ | where, check=False)
    assert done.returncode == 0


def test_a_wrong_password_is_the_answer_and_the_next_host_is_not_asked(postgresql: _Kind) -> None:
    postgresql.set_password(postgresql.server, "s3cret")
    url = f"postgresql://app:wrong@{HOST}:{postgresql.server.port},{HOST}:{free_port()}/postgres"
    assert postgresql.refusal in verdict(url, "wrong")


def test_a_server_without_tls_fails_where_the_query_demands_it(
    postgresql: _Kind, mysql: _Kind
) -> None:
    for kind, query, reason in (
        (postgresql, "sslmode=require", "server does not support SSL"),
        (mysql, "ssl_capath=/etc/ssl/certs", "SSL is required but the server doesn't support it"),
    ):
        kind.set_password(kind.server, "s3cret")
        assert reason in verdict(kind.url("s3cret").replace("#", f"?{query}#"), "s3cret")


def test_a_redis_that_wants_a_password_refuses_none(plain_redis: _Kind) -> None:
    port = plain_redis.server.port
    assert verdict(f"redis://{HOST}:{port}") == "NOAUTH Authentication required."
    password = plain_redis.server.password
    assert verdict(f"redis://:{password}@{HOST}:{port}/1") == ""
    assert verdict(f"redis://:{password}@{HOST}:{port}/9999") == "ERR DB index is out of range"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def _rediss(server: Server, ca: Path | None = None, host: str = HOST) -> str:
    options = f"#ca={ca}" if ca else ""
    return f"rediss://:{server.password}@{host}:{server.port}{options}"


def test_a_redis_on_tls_is_well_if_its_certificate_is(authority: Authority) -> None:
    with servers.redis(authority.issue()) as server:
        assert verdict(_rediss(server, authority.ca)) == ""
        assert verdict(_rediss(server), server.password) == "unable to get local issuer certificate"
        assert verdict(_rediss(server).replace("rediss", "redis"), server.password) != ""


def test_a_redis_on_tls_with_the_certificate_of_another_fails(authority: Authority) -> None:
    files: Files = authority.issue(("cache.example",))
    with servers.redis(files) as server:
        reason = verdict(_rediss(server, authority.ca), server.password)
        assert f"certificate is not valid for '{HOST}'" in reason


def test_a_declared_database_stands_in_the_probes_and_its_password_nowhere(
    postgresql: _Kind, tmp_path: Path
) -> None:
    postgresql.set_password(postgresql.server, "s3cret")
    url = postgresql.url("s3cret", "timeout=1&fresh=0&stale=1")
    with served(tmp_path, checks=f"database={url}") as petsage:
        verbose = f"{petsage.management}/readyz?verbose"
        smoke_test = f"{petsage.main}/api/v1/smoke-test"

        def is_well() -> bool:
            return b"[+]database ok\n" in get(verbose).data

        # The first run imports the driver: on a slow machine that outlasts the deadline.
        wait_until(is_well)
        assert get(smoke_test).status == 200
        with servers.frozen(postgresql.server):
            answer = wait_until(lambda: (found := get(verbose)).status == 503 and found)
            assert b"[-]database failed: " in answer.data
            wait_until(lambda: get(smoke_test).json().get("failed") == ["database"])
        wait_until(is_well)
        shown = answer.data.decode() + petsage.log.read_text()
        assert "check database: fail" in shown
        assert "s3cret" not in shown
