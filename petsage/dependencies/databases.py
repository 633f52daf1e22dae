"""The dependencies that are databases: MySQL, SQLite, Redis, and the schemes of all.

A driver is imported only where a dependency that needs it is declared.
"""

import os
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from marshmallow import ValidationError

from petsage import sockets
from petsage.checks import CheckFailed
from petsage.dependencies import schemes
from petsage.dependencies.network import CA, tls_context
from petsage.dependencies.schemes import Location, Run, Scheme, option

_MYSQL_QUERY = {
    "ssl_ca": CA,
    **{f"ssl_{name}": option("(?s).*", str, "") for name in ("capath", "cert", "key", "cipher")},
    "ssl_check_hostname": option("true|false", "true".__eq__, "true or false"),
    "charset": option("[A-Za-z0-9_]+", str, "a character set"),
}
_REPLY_BYTES = 1024


def postgresql(location: Location) -> Run:
    """`SELECT 1`. The URL means what it means to `psql`."""
    from petsage.dependencies.postgresql import make_run

    return make_run(location)


def mysql(location: Location) -> Run:
    """`SELECT 1`. The query takes PyMySQL's parameters for TLS, such as `?ssl_ca=/path`."""
    given = schemes.read_pairs(location.query, _MYSQL_QUERY, "parameter in its query")
    del given["charset"]  # many URLs have it; here no text is sent or received
    tls = {name.removeprefix("ssl_"): value for name, value in given.items() if value is not None}
    if "check_hostname" in tls and not tls.keys() & {"ca", "capath"}:  # PyMySQL would ignore it
        raise ValidationError("ssl_check_hostname needs ssl_ca or ssl_capath beside it")

    def run() -> None:
        import pymysql

        deadline = location.deadline()
        connection: Any = pymysql.Connection(
            host=location.host,
            user=location.user,
            password=location.password.encode(),  # PyMySQL encodes text in Latin-1
            database=unquote(location.path.removeprefix("/")) or None,
            ssl=tls or None,
            defer_connect=True,
        )
        with (
            sockets.opened(location.host, location.port, deadline) as sock,
            sockets.shut_down_at(sock, deadline),
            closing(connection),
        ):
            connection.connect(sock)
            connection.cursor().execute("SELECT 1")

    return run


def sqlite(location: Location) -> Run:
    """Reads the file's schema: `SELECT 1` alone would succeed on a file that is no database."""
    path = unquote(location.path.removeprefix("/"))

    def run() -> None:
        import sqlite3

        # Absolute, since SQLite takes the name :memory: for a database that is no file.
        url = f"file:{quote(str(Path(path).absolute()))}?mode=ro"
        # Whoever opens a database in WAL mode creates two files beside it, and only a user who may
        # write the database removes them. `immutable` creates none: it is for one that nobody has
        # open.
        if _in_wal_mode(path) and not Path(f"{path}-shm").exists():
            if not os.access(Path(path).parent, os.W_OK):
                raise CheckFailed("it is in WAL mode, and its folder cannot be written")
            url += "&immutable=1"
        with closing(sqlite3.connect(url, location.timeout_seconds, uri=True)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()

    return run


def _in_wal_mode(path: str) -> bool:
    with suppress(OSError), Path(path).open("rb") as file:
        return file.read(20)[18:] == b"\2\2"  # the database file format, 1.3.3
    return False


def redis(location: Location) -> Run:
    """`PING`, after `AUTH` if the URL has a user or a password.

    It needs no driver: it is three lines of the protocol, and drivers bound each read, but not the
    whole answer."""
    login = (location.user, location.password) if location.user else (location.password,)
    database = int(location.path.removeprefix("/") or 0)
    commands = [("AUTH", *login)] if any(login) else []
    commands += [("SELECT", str(database))] if database else []
    commands += [("PING",)]

    def run() -> None:
        deadline = location.deadline()
        with sockets.opened(location.host, location.port, deadline, tls_context(location)) as sock:
            wire = sockets.Wire(sock, deadline)
            for command in commands:
                wire.sendall(_redis_command(command))
                _judge(wire.readline(_REPLY_BYTES), "PONG" if command == ("PING",) else "OK")

    return run


def _redis_command(words: tuple[str, ...]) -> bytes:
    """An array of bulk strings (the Redis serialization protocol, RESP2)."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in encoded)


def _judge(reply: bytes, wanted: str) -> None:
    if not reply:
        raise CheckFailed("closed the connection")
    if reply.startswith(b"-") and reply.endswith(b"\n"):
        raise CheckFailed(reply[1:].decode(errors="replace"))
    if reply != f"+{wanted}\r\n".encode():  # a POP3 server greets with "+OK" and more
        raise CheckFailed("answered what is not Redis")


_LOGIN = schemes.AUTH + schemes.HOST + schemes.PORT
_DATABASE = r"(?P<path>/[^/?@]*)?" + schemes.QUERY
_PLACE = rf"(?:{schemes.HOST_NAME}|{schemes.IPV6}|%2[Ff](?:[A-Za-z0-9._-]|%2[Ff])*)"
_HOSTS = rf"(?P<host>(?:{_PLACE}(?::[0-9]{{1,5}})?,)*{_PLACE})?"
_NUMBERED = _LOGIN + r"(?P<path>/[0-9]{0,4})?"

SCHEMES: Mapping[str, Scheme] = {
    "postgresql": Scheme(
        "postgresql://user:password@host:5432/database",
        postgresql,
        schemes.AUTH + _HOSTS + schemes.PORT + _DATABASE,
        5432,
        modules=("psycopg",),
        install="petsage[postgresql]",
    ),
    "mysql": Scheme(
        "mysql://user:password@host:3306/database",
        mysql,
        _LOGIN + _DATABASE,
        3306,
        modules=("pymysql",),
        install="petsage[mysql]",
    ),
    "sqlite": Scheme(
        "sqlite:////absolute/path or sqlite:///relative/path",
        sqlite,
        r"(?P<path>/[^?@]+)",
        modules=("sqlite3",),
        install="a Python that has sqlite3",
    ),
    "redis": Scheme("redis://user:password@host:6379/0", redis, _NUMBERED, 6379),
    "rediss": Scheme("rediss://user:password@host:6379/0", redis, _NUMBERED, 6379, {"ca": CA}),
}
