"""The dependencies that need a driver: SQL databases and Redis.

Each driver is imported only where a dependency that needs it is declared.
"""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote

from petsage.dependencies.network import CA
from petsage.dependencies.schemes import AUTH, HOST, PORT, QUERY, Run, Scheme, Target

if TYPE_CHECKING:
    from sqlalchemy import Engine


def postgresql(target: Target) -> Run:
    """`SELECT 1`. libpq takes connection parameters from the query, as `?sslmode=verify-full`."""
    # libpq knows whole seconds, 2 at least. The rest ends a connection whose peer has vanished.
    seconds = max(2, int(target.timeout_seconds))
    arguments = {
        "connect_timeout": seconds,
        "tcp_user_timeout": seconds * 1000,
        "keepalives_idle": seconds,
        "keepalives_interval": 1,
        "keepalives_count": 3,
    }
    return _select("SELECT 1", _server("postgresql+psycopg", target), arguments)


def mysql(target: Target) -> Run:
    """`SELECT 1`. PyMySQL takes arguments from the query, as `?ssl_ca=/path`."""
    names = ("connect_timeout", "read_timeout", "write_timeout")
    arguments: dict[str, object] = dict.fromkeys(names, target.timeout_seconds)
    if target.password:  # text it would encode in Latin-1
        arguments["password"] = target.password.encode()
    return _select("SELECT 1", _server("mysql+pymysql", target), arguments)


def sqlite(target: Target) -> Run:
    """Reads the file's schema: `SELECT 1` alone would hold for a file that is no database."""
    path = unquote(target.path.removeprefix("/"))
    url = {
        "drivername": "sqlite",
        "database": f"file:{quote(path)}",
        "query": {"mode": "ro", "uri": "true"},
    }
    arguments = {"timeout": target.timeout_seconds}
    return _select("SELECT 1 FROM sqlite_master LIMIT 1", url, arguments)


def _server(driver: str, target: Target) -> dict[str, Any]:
    return {
        "drivername": driver,
        "username": target.user or None,
        "password": target.password or None,
        "host": target.host,
        "port": target.port,
        "database": unquote(target.path.removeprefix("/")) or None,
        "query": dict(parse_qsl(target.query)),
    }


def _select(statement: str, url: Mapping[str, Any], arguments: Mapping[str, object]) -> Run:
    @functools.cache
    def engine() -> "Engine":
        import sqlalchemy

        # Kept, though it holds no connection: a new one first asks the server what it is.
        return sqlalchemy.create_engine(
            sqlalchemy.URL.create(**url),
            poolclass=sqlalchemy.NullPool,
            connect_args=dict(arguments),
        )

    def select() -> None:
        with engine().connect() as connection:
            connection.exec_driver_sql(statement)

    return select


def redis(target: Target) -> Run:
    """`PING`, after `AUTH` if the URL has a password."""

    def ping() -> None:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        with Redis(
            host=target.host,
            port=target.port,
            db=int(target.path.removeprefix("/") or 0),
            username=target.user or None,
            password=target.password or None,
            ssl=target.scheme == "rediss",
            ssl_ca_certs=target.options.get("ca"),
            socket_connect_timeout=target.timeout_seconds,
            socket_timeout=target.timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # 3 begins with HELLO, which is what an old or closed server refuses
        ) as client:
            client.ping()

    return ping


_LOGIN = AUTH + HOST + PORT
_DATABASE = _LOGIN + r"(?P<path>/[^/?@]*)?" + QUERY
_NUMBERED = _LOGIN + r"(?P<path>/[0-9]{0,4})?"

SCHEMES: Mapping[str, Scheme] = {
    "postgresql": Scheme(
        "postgresql://user:password@host:5432/database",
        postgresql,
        _DATABASE,
        5432,
        modules=("sqlalchemy", "psycopg"),
        install="petsage[postgresql]",
    ),
    "mysql": Scheme(
        "mysql://user:password@host:3306/database",
        mysql,
        _DATABASE,
        3306,
        modules=("sqlalchemy", "pymysql"),
        install="petsage[mysql]",
    ),
    "sqlite": Scheme(
        "sqlite:////absolute/path or sqlite:///relative/path",
        sqlite,
        r"(?P<path>/[^?@]+)",
        modules=("sqlalchemy",),
        install="petsage[sqlite]",
    ),
    "redis": Scheme(
        "redis://user:password@host:6379/0",
        redis,
        _NUMBERED,
        6379,
        modules=("redis",),
        install="petsage[redis]",
    ),
    "rediss": Scheme(
        "rediss://user:password@host:6379/0",
        redis,
        _NUMBERED,
        6379,
        {"ca": CA},
        ("redis",),
        "petsage[redis]",
    ),
}
