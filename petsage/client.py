"""One GET, to an address of one's choice, with Host and SNI kept, over TCP, TLS or a unix socket.

It is over when its seconds are. A timeout for each read, as urllib3 has it, lets a server that
sends a byte a second hold its client for hours; so http.client reads here from a socket that knows
when to stop.
"""

import io
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from petsage.address import Address
from petsage.errors import nearest

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PATH = "/api/v1/smoke-test"
"""What is asked for where a target names no path."""

MAX_BODY_BYTES = 64 * 1024
"""No more of a body than this, and one byte, is ever read."""

_PORTS = {"http": 80, "https": 443}
_WITH_BODY = (200, 503)


class NoAnswer(Exception):
    """No whole answer came. The cause is an `OSError` or an `http.client.HTTPException`."""

    def __init__(self, step: str, address: str = "") -> None:
        super().__init__(step)
        self.step = step
        """What was being done: "connecting", say."""
        self.address = address
        """Whom it was done to, if that is known."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that can be asked."""

    url: str
    path: str
    host: str = "localhost"
    port: int = 0
    secure: bool = False
    unix_path: str = ""

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Reads `http://HOST[:PORT][/PATH]`, `https://…` or `unix:/SOCKET[:/PATH]`.

        Raises `ValueError`, saying what would be right, without a piece of the text.
        """
        if not re.fullmatch(r"[!-~]+", text):
            raise ValueError("a target is printable ASCII without spaces: percent-encode the rest")
        if text.startswith("unix:"):
            return cls._of_unix(text.removeprefix("unix:"))
        scheme, colon, _ = text.partition("://")
        if not colon:
            raise ValueError("a target begins with http://, https:// or unix:/")
        if scheme not in _PORTS:
            raise ValueError(f"unknown scheme{nearest(scheme, (*_PORTS, 'unix'))}")
        return cls._of_url(text)

    @classmethod
    def _of_unix(cls, text: str) -> "Target":
        path, colon, rest = text.partition(":/")
        try:
            address = Address.parse(f"unix:{path}")
        except ValueError:
            raise ValueError("a unix target is unix:/SOCKET or unix:/SOCKET:/PATH") from None
        asked = f"/{rest}" if colon else PATH
        return cls(f"{address}:{asked}", asked, unix_path=address.path)

    @classmethod
    def _of_url(cls, text: str) -> "Target":
        try:
            url = urlsplit(text)
            port = _PORTS[url.scheme] if url.port is None else url.port
            host = url.hostname or ""
            host.encode("idna")  # as getaddrinfo() will: a label has 1 to 63 characters
        except ValueError:
            raise ValueError("its host or port is not valid") from None
        if "@" in url.netloc:
            raise ValueError("a user or password does not belong in a target: use --header")
        if not host or not port or url.fragment:
            raise ValueError("a target is a scheme, a host, and maybe a port and a path")
        asked = (url.path if url.path.strip("/") else PATH) + (url.query and f"?{url.query}")
        told = f"{url.scheme}://{url.netloc}{asked}"
        return cls(told, asked, host, port, url.scheme == "https")

    @property
    def authority(self) -> str:
        """What stands in the Host header (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.unix_path or self.port == _PORTS["https" if self.secure else "http"]
        return host if usual else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said, and how long that took."""

    address: str
    """The one of the addresses that was asked; empty for a unix socket."""
    status: int
    headers: Mapping[str, str]
    """The names are in lower case; what stands in several lines is joined (RFC 9110, 5.3)."""
    body: bytes
    """Its first `MAX_BODY_BYTES`, and a byte more if there is more. Only read where the contract
    has one: a 200 or a 503."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Client:
    """Asks every target alike."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tls: ssl.SSLContext | None = None
    """One for all: to make one means to read every root certificate there is."""

    def get(self, target: Target, addresses: tuple[str, ...], seconds: float) -> Answer:
        """Asks one of `addresses`, the first that lets itself be connected to, in `seconds` in all.

        A unix target needs no addresses. Redirects are not followed. Raises `NoAnswer`.
        """
        began = time.monotonic()
        deadline = began + seconds
        sock, address = _connected(target, addresses, deadline)
        try:
            # To secure a socket leaves nothing to close in the one that was.
            with closing(sock), closing(self._secured(sock, target, deadline)) as sock:
                response, body = self._exchange(target, _Wire(sock, deadline))
        except NoAnswer as error:
            error.address = address
            raise
        said = response.headers
        headers = {name.lower(): ", ".join(said.get_all(name, ())) for name in said}
        return Answer(address, response.status, headers, body, time.monotonic() - began)

    def _secured(self, sock: socket.socket, target: Target, deadline: float) -> socket.socket:
        if not target.secure:
            return sock
        context = self.tls or ssl.create_default_context()
        with _step("in the TLS handshake"):
            sock.settimeout(_left(deadline))
            return context.wrap_socket(sock, server_hostname=target.host.rstrip("."))

    def _exchange(self, target: Target, wire: "_Wire") -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection(target.host, target.port)
        connection.sock = cast(socket.socket, wire)
        with _step("waiting for an answer"):
            connection.putrequest("GET", target.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self._headers_for(target):
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
        with closing(response), _step("in the middle of an answer"):
            return response, _body(response)

    def _headers_for(self, target: Target) -> list[tuple[str, str]]:
        usual = {
            "Host": target.authority,
            "User-Agent": "PetSage",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        given = {name.lower() for name, _ in self.headers}
        return [*((k, v) for k, v in usual.items() if k.lower() not in given), *self.headers]


def _body(response: HTTPResponse) -> bytes:
    if response.status not in _WITH_BODY:
        return b""
    body = response.read(MAX_BODY_BYTES + 1)
    if response.length and len(body) <= MAX_BODY_BYTES:  # read() takes an early end for an end
        raise IncompleteRead(body, response.length)
    return body


@contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException) as error:
        raise NoAnswer(name) from error


def _left(deadline: float) -> float:
    """How many seconds are left until then, by the monotonic clock. Raises `TimeoutError`."""
    if (seconds := deadline - time.monotonic()) > 0:
        return seconds
    raise TimeoutError("timed out")


class _Received(io.RawIOBase):
    """What a socket receives until the deadline."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._sock.settimeout(_left(self._deadline))
        return self._sock.recv_into(buffer)


class _Wire:
    """A connected socket as http.client needs it, which ends at the deadline."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_left(self._deadline))
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Received(self._sock, self._deadline))

    def close(self) -> None:
        """http.client closes before the body is read: with a socket that is only a count less."""


def _connected(
    target: Target, addresses: tuple[str, ...], deadline: float
) -> tuple[socket.socket, str]:
    if target.unix_path:
        with _step("connecting"):
            return _connected_unix(target.unix_path, deadline), ""
    address, last = "", OSError("there is no address")
    for tried, address in enumerate(addresses):
        try:
            # One that swallows every packet must not use up the time of those behind it.
            share = _left(deadline) / (len(addresses) - tried)
            return socket.create_connection((address, target.port), share), address
        except OSError as error:
            last = error
    raise NoAnswer("connecting", address) from last


def _connected_unix(path: str, deadline: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(_left(deadline))
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def resolve(
    host: str, seconds: float, look_up: Callable[..., Iterable[Any]] = socket.getaddrinfo
) -> tuple[str, ...]:
    """The addresses of a name (A and AAAA), each once, in the system's order.

    Raises `NoAnswer` if there are none, or if there is no reply within `seconds`.
    """
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        pass
    # getaddrinfo() knows no timeout: a thread that hangs in it is left to itself.
    found: Future[tuple[str, ...]] = Future()

    def work() -> None:
        try:
            replies = look_up(host, None, type=socket.SOCK_STREAM)
            found.set_result(tuple(dict.fromkeys(str(address[0]) for *_, address in replies)))
        except Exception as error:
            found.set_exception(error)

    threading.Thread(target=work, name="resolve", daemon=True).start()
    with _step("looking up the name"):
        return found.result(seconds)
