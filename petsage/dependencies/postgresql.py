"""PostgreSQL, asked through libpq without ever blocking in it: a run ends at its deadline."""

import re
import select
from collections.abc import Mapping
from typing import TYPE_CHECKING

from marshmallow import ValidationError

from petsage import sockets
from petsage.checks import CheckFailed
from petsage.dependencies.schemes import Location, Run

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

PORT = 5432
Parameters = Mapping[str, str]
"""libpq's connection parameters by name."""

# libpq asks the next host of a server that cannot accept connections now. Whatever else a server
# refuses is the answer.
_REFUSED = re.compile(r"FATAL: (?!.*the database system is)")


def make_run(location: Location) -> Run:
    """`SELECT 1`. The URL means what it means to `psql`, with several hosts, unix sockets and
    connection parameters in its query, as `?sslmode=verify-full`."""
    parameters = _parameters(location)

    def run() -> None:
        deadline = location.deadline()
        connection = sockets.first(_connect, _hosts(parameters), deadline)
        try:
            _select(connection, deadline)
        finally:
            connection.finish()

    return run


def _parameters(location: Location) -> Parameters:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    host = location.host
    host = f"[{host}]" if ":" in host and "," not in host else host
    login = {"user": location.user, "password": location.password}
    place = f"{host}:{location.port}" if host or location.port != PORT else ""
    try:
        given = conninfo_to_dict(f"postgresql://{place}{location.path}?{location.query}")
    except ProgrammingError:  # its message has pieces of the URL
        raise ValidationError("its query has a parameter that libpq does not know") from None
    return {**{k: v for k, v in login.items() if v}, **{k: str(v) for k, v in given.items()}}


def _hosts(parameters: Parameters) -> list[Parameters]:
    """The parameters for each of the hosts, as libpq pairs hosts and ports."""
    hosts = parameters.get("host", "").split(",")
    ports = parameters.get("port", "").split(",")
    if "hostaddr" in parameters or not hosts[0]:
        return [parameters]
    ports *= len(hosts) if len(ports) == 1 else 1
    return [
        {**parameters, "host": host, "port": port} for host, port in zip(hosts, ports, strict=False)
    ]


def _connect(parameters: Parameters, deadline: float) -> "PGconn":
    """A connection to one host, at the first of its addresses that accepts one."""
    host = parameters.get("host", "")
    if "hostaddr" in parameters or not host or host[0] in "/@":  # a unix socket
        return _connect_once(parameters, deadline)
    places = [{**parameters, "hostaddr": address} for address in sockets.addresses_of(host)]
    return sockets.first(_connect_once, places, deadline)


def _connect_once(parameters: Parameters, deadline: float) -> "PGconn":
    from psycopg import pq
    from psycopg.conninfo import make_conninfo

    connection = pq.PGconn.connect_start(make_conninfo("", **parameters).encode())
    events = {pq.PollingStatus.READING: select.POLLIN, pq.PollingStatus.WRITING: select.POLLOUT}
    try:
        while event := events.get(pq.PollingStatus(connection.connect_poll())):
            _wait(connection, event, deadline)
        _judge(connection)
    except BaseException:
        connection.finish()
        raise
    return connection


def _judge(connection: "PGconn") -> None:
    from psycopg import pq

    if connection.status != pq.ConnStatus.OK:
        message = connection.get_error_message()
        raise CheckFailed(message) if _REFUSED.search(message) else ConnectionError(message)


def _select(connection: "PGconn", deadline: float) -> None:
    from psycopg import pq

    connection.send_query(b"SELECT 1")
    while connection.is_busy():
        _wait(connection, select.POLLIN, deadline)
        connection.consume_input()
    result = connection.get_result()
    if result is None or result.status != pq.ExecStatus.TUPLES_OK:
        raise CheckFailed((result or connection).get_error_message())


def _wait(connection: "PGconn", event: int, deadline: float) -> None:
    poller = select.poll()
    poller.register(connection.socket, event)
    if not poller.poll(sockets.left(deadline) * 1000):
        raise TimeoutError("timed out")
