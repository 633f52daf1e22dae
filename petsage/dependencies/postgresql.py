"""PostgreSQL, asked through libpq without ever blocking in it: a run ends at its deadline.

This module needs the driver, so it is imported only where a URL of the scheme is declared.
"""

import re
import select
from functools import partial
from urllib.parse import quote

from marshmallow import ValidationError
from psycopg import ProgrammingError, pq
from psycopg.abc import ConnDict
from psycopg.conninfo import conninfo_attempts, conninfo_to_dict, make_conninfo
from psycopg.pq.abc import PGconn

from petsage import sockets
from petsage.checks import CheckFailed
from petsage.dependencies.schemes import Location, Run

_PORT = 5432
_EVENTS = {pq.PollingStatus.READING: select.POLLIN, pq.PollingStatus.WRITING: select.POLLOUT}

# If a server cannot accept connections now, libpq asks the next host. Any other refusal is final.
_REFUSED = re.compile(r"FATAL: (?!.*the database system is)")


def make_run(location: Location) -> Run:
    """`SELECT 1`. The URL means what it means to `psql`: it may have several hosts, unix sockets,
    and connection parameters in its query, such as `?sslmode=verify-full`."""
    parameters = _parameters(location)
    # psycopg does not know abstract sockets, which libpq finds by a name without a path.
    abstract = str(parameters.get("host", "")).startswith("@")

    def run() -> None:
        deadline = location.deadline()
        attempts = [parameters] if abstract else conninfo_attempts(parameters)
        sockets.try_each(partial(_ask, deadline), attempts, deadline)

    return run


def _parameters(location: Location) -> ConnDict:
    """libpq's connection parameters by name. Raises `ValidationError`."""
    login = ":".join(quote(word, safe="") for word in (location.user, location.password))
    host = location.host
    host = f"[{host}]" if ":" in host and "," not in host else host
    place = f"{host}:{location.port}" if host or location.port != _PORT else ""
    try:
        return conninfo_to_dict(f"postgresql://{login}@{place}{location.path}?{location.query}")
    except ProgrammingError:  # its message has pieces of the URL
        raise ValidationError("its query has a parameter that libpq does not know") from None


def _ask(deadline: float, parameters: ConnDict, share: float) -> None:
    """Connects to one address until the end of its share of the time, and queries it until the
    deadline."""
    connection = pq.PGconn.connect_start(make_conninfo("", **parameters).encode())
    try:
        _connect(connection, share)
        _select(connection, deadline)
    finally:
        connection.finish()


def _connect(connection: PGconn, deadline: float) -> None:
    while event := _EVENTS.get(pq.PollingStatus(connection.connect_poll())):
        _wait(connection, event, deadline)
    if connection.status != pq.ConnStatus.OK:
        message = connection.get_error_message()
        raise CheckFailed(message) if _REFUSED.search(message) else ConnectionError(message)


def _select(connection: PGconn, deadline: float) -> None:
    connection.send_query(b"SELECT 1")
    while connection.is_busy():
        _wait(connection, select.POLLIN, deadline)
        connection.consume_input()
    result = connection.get_result()
    if result is None or result.status != pq.ExecStatus.TUPLES_OK:
        raise CheckFailed((result or connection).get_error_message())


def _wait(connection: PGconn, event: int, deadline: float) -> None:
    poller = select.poll()
    poller.register(connection.socket, event)
    if not poller.poll(sockets.seconds_left(deadline) * 1000):
        raise TimeoutError("timed out")
