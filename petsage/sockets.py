"""Sockets that are connected by a deadline, and read until it.

A deadline is a moment of `time.monotonic()`. A timeout for each read, as most clients have it, lets
a server that sends a byte a second hold its client for hours.
"""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ssl import SSLContext

    from _typeshed import WriteableBuffer

MAX_RECEIVED_BYTES = 256 * 1024
"""No more is ever received as one answer, whatever lengths the peer announces."""

_T = TypeVar("_T")
_R = TypeVar("_R")


def seconds_left(deadline: float) -> float:
    """How many seconds are left until the deadline. Raises `TimeoutError` if there are none."""
    if (seconds := deadline - time.monotonic()) > 0:
        return seconds
    raise TimeoutError("timed out")


def addresses_of(host: str) -> tuple[str, ...]:
    """The addresses of a name (A and AAAA), each once, in the system's order.

    Only the resolver's own timeouts bound it: with a thread for each look-up, those that hang would
    pile up. Raises `OSError` if there are none.
    """
    try:
        replies = socket.getaddrinfo(host, None)
        return tuple(dict.fromkeys(str(address[0]) for *_, address in replies))
    except UnicodeError:  # a label is empty, or longer than 63 characters
        raise OSError("the name is not valid") from None


def try_each(attempt: Callable[[_T, float], _R], places: Sequence[_T], deadline: float) -> _R:
    """Calls `attempt` with a place and its deadline until it succeeds, and returns its result.

    Each place gets an equal share of the time that is left: one that drops every packet must not
    use up the time of those after it. Raises the `OSError` of the last attempt.
    """
    last = OSError("there is no address")
    for tried, place in enumerate(places):
        try:
            share = seconds_left(deadline) / (len(places) - tried)
            return attempt(place, time.monotonic() + share)
        except OSError as error:
            last = error
    raise last


def connect(addresses: Sequence[str], port: int, deadline: float) -> tuple[socket.socket, str]:
    """A connection to the first address that accepts one, and that address. Raises `OSError`."""

    def attempt(address: str, deadline: float) -> tuple[socket.socket, str]:
        sock = socket.create_connection((address, port), seconds_left(deadline))
        # Drivers write in small pieces, each of which would wait for the peer's acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock, address

    return try_each(attempt, addresses, deadline)


def connect_unix(path: str, deadline: float) -> socket.socket:
    """A connection to a unix socket. Raises `OSError`."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(seconds_left(deadline))
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def secured(
    sock: socket.socket, host: str, tls: "SSLContext | None", deadline: float
) -> socket.socket:
    """The same connection after a TLS handshake with `host`, or as it is without `tls`."""
    sock.settimeout(seconds_left(deadline))
    # RFC 6066, 3: the name of a server is sent without a trailing dot.
    return tls.wrap_socket(sock, server_hostname=host.rstrip(".")) if tls else sock


@contextmanager
def opened(
    host: str, port: int, deadline: float, tls: "SSLContext | None" = None
) -> Iterator[socket.socket]:
    """A connection to a host by its name, closed at the end. Raises `OSError`."""
    sock, _ = connect(addresses_of(host), port, deadline)
    # A handshake takes the descriptor from the plain socket, which then has nothing to close.
    with sock, secured(sock, host, tls, deadline) as sock:
        yield sock


@contextmanager
def shut_down_at(sock: socket.socket, deadline: float) -> Iterator[None]:
    """Shuts the connection down at the deadline: this ends a driver that would wait for ever.

    What the driver raises after the deadline becomes a `TimeoutError`.
    """
    # A second descriptor of the same connection: a driver that adds TLS takes over the first one.
    with sock.dup() as twin:
        timer = threading.Timer(seconds_left(deadline), _shut_down, (twin,))
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception:
            seconds_left(deadline)  # raises TimeoutError if it has passed
            raise
        finally:
            timer.cancel()
            timer.join()


def _shut_down(sock: socket.socket) -> None:
    with suppress(OSError):  # the peer was faster
        sock.shutdown(socket.SHUT_RDWR)


class Wire(io.BufferedReader):
    """A connected socket that is written and read until the deadline: what http.client needs of a
    socket, and no more. It receives at most `MAX_RECEIVED_BYTES`."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._received = _Received(sock, deadline)
        super().__init__(self._received)

    @property
    def ended(self) -> bool:
        """Whether the peer has sent all, and it was read."""
        return self._received.ended

    def sendall(self, data: bytes) -> None:
        self._received.in_time().sendall(data)

    def makefile(self, _mode: str = "rb") -> "Wire":
        """The same reader each time: its buffer may hold the start of the next response."""
        return self

    def close(self) -> None:
        """Does nothing. http.client calls it before it reads the body, and after an interim
        response; a real socket would only drop a reference. Whoever opened the socket closes it."""


class _Received(io.RawIOBase):
    """What a socket receives until the deadline, as a raw stream."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline
        self._allowed = MAX_RECEIVED_BYTES
        self.ended = False

    def in_time(self) -> socket.socket:
        """The socket, for a call that ends at the deadline."""
        self._sock.settimeout(seconds_left(self._deadline))
        return self._sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if self._allowed <= 0:
            raise ValueError(f"more than {MAX_RECEIVED_BYTES} bytes came")
        received = self.in_time().recv_into(buffer)
        self._allowed -= received
        self.ended |= not received
        return received
