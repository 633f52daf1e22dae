"""The dependencies that are databases: MySQL, SQLite, Redis, and the schemes of all.

A driver is imported only where a dependency that needs it is declared.
"""

import ssl
from collections.abc import Mapping
from contextlib import closing
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from marshmallow import ValidationError

from petsage import sockets
from petsage.checks import CheckFailed
from petsage.dependencies.network import CA
from petsage.dependencies.postgresql import postgresql
from petsage.dependencies.schemes import AUTH, HOST, PORT, QUERY, Location, Run, Scheme
from petsage.errors import nearest

_MYSQL_TLS = ("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_cipher")
_MYSQL_QUERY = (*_MYSQL_TLS, "ssl_check_hostname", "charset")
_REPLY_BYTES = 1024


def mysql(location: Location) -> Run:
    """`SELECT 1`. The query takes the parameters of PyMySQL's TLS, as `?ssl_ca=/path`."""
    tls, charset = _mysql_query(location)

    def run() -> None:
        import pymysql

        deadline = location.deadline()
        connection: Any = pymysql.Connection(
            host=location.host,
            user=location.user or None,
            password=location.password.encode(),  # text it would encode in Latin-1
            database=unquote(location.path.removeprefix("/")) or None,
            charset=charset,
            ssl=tls or None,
            read_timeout=location.timeout_seconds,
            write_timeout=location.timeout_seconds,
            defer_connect=True,
        )
        with (
            sockets.opened(location.host, location.port, deadline) as sock,
            sockets.ending(sock, deadline),
            closing(connection),
        ):
            connection.connect(sock)
            connection.cursor().execute("SELECT 1")

    return run


def _mysql_query(location: Location) -> tuple[dict[str, object], str]:
    """PyMySQL's `ssl` and `charset`. Raises `ValidationError`."""
    given = dict(parse_qsl(location.query, keep_blank_values=True))
    for name in given.keys() - set(_MYSQL_QUERY):
        raise ValidationError(f"unknown parameter in its query{nearest(name, _MYSQL_QUERY)}")
    tls: dict[str, object] = {n.removeprefix("ssl_"): given[n] for n in _MYSQL_TLS if n in given}
    if (named := given.get("ssl_check_hostname", "true")) not in ("true", "false"):
        raise ValidationError("ssl_check_hostname in its query must be true or false")
    if tls:
        tls["check_hostname"] = named == "true"
    return tls, given.get("charset", "")


def sqlite(location: Location) -> Run:
    """Reads the file's schema: `SELECT 1` alone would hold for a file that is no database."""
    path = unquote(location.path.removeprefix("/"))

    def run() -> None:
        import sqlite3

        url = f"file:{quote(path)}?mode=ro"
        with closing(sqlite3.connect(url, location.timeout_seconds, uri=True)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()

    return run


def redis(location: Location) -> Run:
    """`PING`, after `AUTH` if the URL has a user or a password.

    Spoken here and not by a driver: it is three lines of the protocol, and drivers bound each read,
    but not the whole answer."""
    login = (location.user, location.password) if location.user else (location.password,)
    database = int(location.path.removeprefix("/") or 0)
    commands = [("AUTH", *login)] if any(login) else []
    commands += [("SELECT", str(database))] if database else []
    commands += [("PING",)]

    def run() -> None:
        deadline = location.deadline()
        with sockets.opened(location.host, location.port, deadline, _redis_tls(location)) as sock:
            wire = sockets.Wire(sock, deadline)
            replies = wire.makefile()
            for command in commands:
                wire.sendall(_redis_command(command))
                _judge_reply(replies.readline(_REPLY_BYTES))

    return run


def _redis_tls(location: Location) -> ssl.SSLContext | None:
    if location.scheme == "redis":
        return None
    return ssl.create_default_context(cafile=location.options["ca"])


def _redis_command(words: tuple[str, ...]) -> bytes:
    """An array of bulk strings (the Redis serialization protocol, RESP2)."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in encoded)


def _judge_reply(line: bytes) -> None:
    if line.startswith(b"-"):
        raise CheckFailed(line[1:].decode(errors="replace"))
    if not line.startswith(b"+"):
        raise CheckFailed("answered what is not Redis" if line else "closed the connection")


_LOGIN = AUTH + HOST + PORT
_DATABASE = _LOGIN + r"(?P<path>/[^/?@]*)?" + QUERY
_NUMBERED = _LOGIN + r"(?P<path>/[0-9]{0,4})?"

SCHEMES: Mapping[str, Scheme] = {
    "postgresql": Scheme(
        "postgresql://user:password@host:5432/database",
        postgresql,
        _DATABASE,
        5432,
        modules=("psycopg",),
        install="petsage[postgresql]",
    ),
    "mysql": Scheme(
        "mysql://user:password@host:3306/database",
        mysql,
        _DATABASE,
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
