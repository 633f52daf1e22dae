"""One GET, at an address of one's choice, with Host and SNI kept, over TCP, TLS or a unix socket.

It ends at its deadline, however the server behaves.
"""

import re
import socket
import ssl
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from typing import cast
from urllib.parse import quote, unquote, urlsplit

from petsage import sockets
from petsage.address import Address
from petsage.errors import nearest

PATH = "/api/v1/smoke-test"
"""The path of a target that names none."""

MAX_BODY_BYTES = 64 * 1024
"""No more of a body than this and one byte is ever read."""

WAITING, MIDDLE = "waiting for an answer", "in the middle of an answer"
"""The steps after the request."""

# A value in a query, or a name without one, of more than three characters.
_LONGER = re.compile(r"(^|&)([^&=]*+=(?=[^&]))?+([^&]{4,})")
_PORTS = {"http": 80, "https": 443}


class NoAnswer(Exception):
    """No whole answer came. The cause is an `OSError` or an `http.client.HTTPException`."""

    def __init__(self, step: str, address: str = "") -> None:
        super().__init__(step)
        self.step = step
        """What the client was doing: "connecting", for example."""
        self.address = address
        """The address that was asked, if one was."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that a rollout is proven at."""

    url: str
    """As it is printed: without the longer values of its query, since one may be a token."""
    path: str
    """With its query."""
    host: str = "localhost"
    port: int = 0
    secure: bool = False
    unix_path: str = ""

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Reads `http://HOST[:PORT][/PATH]`, `https://…` or `unix:/SOCKET[:/PATH]`.

        Raises `ValueError` that says what would be right, and repeats nothing of the text.
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
        return cls(f"{address}:{_printed(asked)}", asked, unix_path=address.path)

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
        printed = f"{url.scheme}://{url.netloc}{_printed(asked)}"
        return cls(printed, asked, host, port, url.scheme == "https")

    def hidden(self, text: str) -> str:
        """A text of the server, which may repeat the query, without what `url` does not show."""
        for *_, value in _LONGER.findall(self.path.partition("?")[2]):
            for form in (value, unquote(value), quote(value, safe="")):
                text = text.replace(form, "***")
        return text

    @property
    def authority(self) -> str:
        """The value of the Host header (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.unix_path or self.port == _PORTS["https" if self.secure else "http"]
        return host if usual else f"{host}:{self.port}"


def _printed(path: str) -> str:
    path, mark, query = path.partition("?")
    return path + mark + _LONGER.sub(r"\1\2***", query)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, and how long that took."""

    address: str
    """The address that answered; empty for a unix socket."""
    status: int
    headers: Mapping[str, str]
    """The names are in lower case; the values of one name are joined by commas (RFC 9110, 5.3)."""
    body: bytes
    """Its first `MAX_BODY_BYTES`, and a byte more if there is more; empty if it was not read."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Client:
    """What is the same for every target."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tls: ssl.SSLContext | None = None
    """Shared, since each new one reads all root certificates of the system."""
    bodies: Collection[int] = (200, 503)
    """The statuses whose body is read, since something judges it: a body can be endless."""
    proxy: Target | None = None
    """The HTTP proxy to ask through; the addresses are then its own."""

    def get(self, target: Target, addresses: tuple[str, ...], seconds: float) -> Answer:
        """Asks the first of `addresses` that accepts a connection, in `seconds` in all.

        A unix target needs no addresses. Redirects are not followed. Raises `NoAnswer`.
        """
        began = time.monotonic()
        deadline = began + seconds
        sock, address = self.connect(target, addresses, deadline)
        with closing(sock):
            return self.ask(sock, target, address, began, deadline)[0]

    def connect(
        self, target: Target, addresses: tuple[str, ...], deadline: float
    ) -> tuple[socket.socket, str]:
        """A connection to the first of `addresses` that accepts one, and that address."""
        sock, address = _connected(self.proxy or target, addresses, deadline)
        tls = (self.tls or ssl.create_default_context()) if target.secure else None
        try:
            if self.proxy and target.secure:
                with _at(address), _step("asking the proxy"):
                    _tunnel(sockets.Wire(sock, deadline), target)
            with _at(address), _step("in the TLS handshake"):
                return sockets.secured(sock, target.host, tls, deadline), address
        except NoAnswer:
            sock.close()
            raise

    def ask(
        self, sock: socket.socket, target: Target, address: str, began: float, deadline: float
    ) -> tuple[Answer, bool]:
        """The answer on this connection, and whether the connection can be asked again."""
        with _at(address):
            response, body, again = self._exchange(target, sockets.Wire(sock, deadline))
        given = response.headers
        headers = {name.lower(): ", ".join(given.get_all(name, ())) for name in given}
        answer = Answer(address, response.status, headers, body, time.monotonic() - began)
        return answer, again

    def _exchange(self, target: Target, wire: sockets.Wire) -> tuple[HTTPResponse, bytes, bool]:
        connection = HTTPConnection(target.host, target.port)
        connection.sock = cast(socket.socket, wire)
        with _step(WAITING):
            # A proxy is asked for the whole URL (RFC 9112, 3.2.2).
            forwarded = self.proxy and not target.secure
            place = f"http://{target.authority}{target.path}" if forwarded else target.path
            connection.putrequest("GET", place, skip_host=True, skip_accept_encoding=True)
            for name, value in self._headers_for(target):
                connection.putheader(name, value)
            connection.endheaders()
            response = _final(wire)
        with closing(response), _step(MIDDLE):
            body = _body(response) if response.status in self.bodies else b""
            return response, body, response.isclosed() and not response.will_close

    def _headers_for(self, target: Target) -> list[tuple[str, str]]:
        usual = {
            "Host": target.authority,
            "User-Agent": "PetSage",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        given = {name.lower() for name, _ in self.headers}
        return [*((k, v) for k, v in usual.items() if k.lower() not in given), *self.headers]


def _tunnel(wire: sockets.Wire, target: Target) -> None:
    """Has the proxy connect to the target (RFC 9110, 9.3.6)."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    place = f"{host}:{target.port}"
    wire.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
    with closing(_final(wire)) as response:
        if not 200 <= response.status < 300:
            raise OSError(f"the proxy answered {response.status}")


def _final(wire: sockets.Wire) -> HTTPResponse:
    """The final response, after any number of interim ones (RFC 9110, 15.2)."""
    while True:
        response = HTTPResponse(cast(socket.socket, wire), method="GET")
        response.begin()
        if wire.ended:  # http.client accepts a head that is cut
            raise IncompleteRead(b"")
        if response.status == HTTPStatus.SWITCHING_PROTOCOLS or response.status >= 200:
            return response


def _body(response: HTTPResponse) -> bytes:
    body = response.read(MAX_BODY_BYTES + 1)
    if response.length and len(body) <= MAX_BODY_BYTES:  # read() accepts an end that is too early
        raise IncompleteRead(body, response.length)
    return body


@contextmanager
def _at(address: str) -> Iterator[None]:
    try:
        yield
    except NoAnswer as error:
        error.address = address
        raise


@contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException) as error:
        raise NoAnswer(name) from error
    except Exception as error:  # as http.client's own, if a chunk says that its size is -5
        raise NoAnswer(name) from HTTPException(str(error))


def _connected(
    target: Target, addresses: tuple[str, ...], deadline: float
) -> tuple[socket.socket, str]:
    try:
        if target.unix_path:
            return sockets.connect_unix(target.unix_path, deadline), ""
        return sockets.connect(addresses, target.port, deadline)
    except OSError as error:
        raise NoAnswer("connecting", addresses[-1] if addresses else "") from error
