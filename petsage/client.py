"""One GET to a given address, over TCP, TLS or a unix socket; Host and SNI stay the target's. It
ends at its deadline, however the server behaves."""

import re
import socket
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Collection, Hashable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPException, HTTPResponse, IncompleteRead
from ipaddress import ip_address
from typing import cast
from urllib.parse import quote, unquote, urlsplit

from petsage import sockets
from petsage.address import Address
from petsage.errors import nearest
from petsage.smoke_test import PATH

MAX_ANSWER_BYTES = 64 * 1024
"""So much of a body is read at most, and one byte more, which shows that it is longer."""

KEPT_CONNECTIONS = 4
"""How many connections to a target take turns: behind a balancer they lead to several instances."""

WAITING, MIDDLE = "waiting for an answer", "in the middle of an answer"
"""The steps after the request."""

# A value in a query, or a name without one, of more than three characters.
_LONG_VALUE = re.compile(r"(^|&)([^&=]*+=(?=[^&]))?+([^&]{4,})")
_PORTS = {"http": 80, "https": 443}
_FOR_PROXY = re.compile("proxy-", re.IGNORECASE)  # a header for nobody behind the proxy


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
    addresses: tuple[str, ...] | None = None
    """Where to connect to; None if its name has to be looked up."""

    @classmethod
    def parse(cls, text: str, root: str = PATH) -> "Target":
        """Reads `http://HOST[:PORT][/PATH]`, `https://…` or `unix:/SOCKET[:/PATH]`. Without a path
        it is the smoke test's; `root` is what the path `/` of a URL stands for.

        Raises `ValueError` that says what would be right and repeats nothing of the text."""
        if not re.fullmatch(r"[!-~]+", text):
            raise ValueError("a target must be printable ASCII: percent-encode spaces and the rest")
        if text.startswith("unix:"):
            return cls._of_unix(text.removeprefix("unix:"))
        scheme, colon, _ = text.partition("://")
        if not colon:
            raise ValueError("a target must begin with http://, https:// or unix:/")
        if scheme.lower() not in _PORTS:
            raise ValueError(f"unknown scheme{nearest(scheme, (*_PORTS, 'unix'))}")
        return cls._of_url(text, root)

    @classmethod
    def _of_unix(cls, text: str) -> "Target":
        socket_path, colon, rest = text.partition(":/")
        try:
            address = Address.parse(f"unix:{socket_path}")
        except ValueError:
            raise ValueError("a unix target must be unix:/SOCKET or unix:/SOCKET:/PATH") from None
        path = f"/{rest}" if colon else PATH
        return cls(f"{address}:{_printed(path)}", path, unix_path=address.path, addresses=())

    @classmethod
    def _of_url(cls, text: str, root: str) -> "Target":
        try:
            url = urlsplit(text)
            port = _PORTS[url.scheme] if url.port is None else url.port
            host = (url.hostname or "").replace("%25", "%")  # before a zone (RFC 6874)
            host.encode("idna")  # as getaddrinfo() will: a label has 1 to 63 characters
        except ValueError:
            raise ValueError("its host or port is not valid") from None
        if "@" in url.netloc:
            raise ValueError("a user or password does not belong in a target: use --header")
        if not host or not port or url.fragment:
            raise ValueError("a target must be a scheme, a host, and maybe a port and a path")
        path = url.path if url.path.strip("/") else root if url.path else PATH
        path += url.query and f"?{url.query}"
        printed = f"{url.scheme}://{url.netloc}{_printed(path)}"
        target = cls(printed, path, host, port, url.scheme == "https")
        with suppress(ValueError):
            return replace(target, addresses=(str(ip_address(host)),))
        return target

    def hidden(self, text: str) -> str:
        """The server's text without the values that `url` hides: it may repeat the query."""
        for *_, value in _LONG_VALUE.findall(self.path.partition("?")[2]):
            forms = map(re.escape, (value, unquote(value), quote(value, safe="")))
            text = re.sub("|".join(forms), "***", text, flags=re.IGNORECASE)  # %2f is %2F
        return text

    @property
    def authority(self) -> str:
        """The value of the Host header (RFC 9110, 7.2)."""
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        usual = self.unix_path or self.port == _PORTS["https" if self.secure else "http"]
        return host if usual else f"{host}:{self.port}"


def _printed(path: str) -> str:
    path, mark, query = path.partition("?")
    return path + mark + _LONG_VALUE.sub(r"\1\2***", query)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, and how long that took."""

    address: str
    """The address that answered; empty for a unix socket."""
    status: int
    headers: Mapping[str, str]
    """The names are in lower case; the values of one name are joined by commas (RFC 9110, 5.3)."""
    body: bytes
    """Its first `MAX_ANSWER_BYTES`, and a byte more if there is more; empty if it was not read."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Client:
    """Sends requests. Its fields are the same for every target."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tls: ssl.SSLContext | None = None
    """Shared, since each new one reads all root certificates of the system."""
    bodies: Collection[int] = (200, 503)
    """The statuses whose body is read, since it is judged: any other body can be endless."""
    proxy: Target | None = None
    """The HTTP proxy to ask through. Then the addresses to connect to are the proxy's."""
    keeps: bool = False
    """Whether connections are kept (RFC 9112, 9.3), as a browser or a proxy does."""
    _idle: dict[Hashable, deque[tuple[socket.socket, str]]] = field(
        default_factory=lambda: defaultdict(deque), init=False, repr=False, compare=False
    )

    def get(self, target: Target, addresses: tuple[str, ...], seconds: float) -> Answer:
        """Asks the first of `addresses` that accepts a connection, in `seconds` in all.

        Redirects are not followed. A kept connection that the server has closed is replaced. Raises
        `NoAnswer`.
        """
        began = time.monotonic()
        deadline = began + seconds
        idle = self._idle[target, addresses[:1]] if self.keeps else deque()
        sock, address = _taken(idle) or self._connected(target, addresses, deadline)
        reusable = False
        try:
            response, body, reusable = self._exchange(sock, target, address, deadline)
        finally:
            if reusable and self.keeps:
                idle.append((sock, address))
            else:
                sock.close()
        given = response.headers
        headers = {name.lower(): ", ".join(given.get_all(name, ())) for name in given}
        return Answer(address, response.status, headers, body, time.monotonic() - began)

    def close(self) -> None:
        """Closes the connections that are idle."""
        for idle in self._idle.values():
            while idle:
                idle.pop()[0].close()

    def _connected(
        self, target: Target, addresses: tuple[str, ...], deadline: float
    ) -> tuple[socket.socket, str]:
        peer = self.proxy or target
        with _step("connecting", "".join(addresses[-1:])):
            if peer.unix_path:
                sock, address = sockets.connect_unix(peer.unix_path, deadline), ""
            else:
                sock, address = sockets.connect(addresses, peer.port, deadline)
        tls = (self.tls or ssl.create_default_context()) if target.secure else None
        try:
            if self.proxy and target.secure:
                with _step("asking the proxy", address):
                    own = [header for header in self.headers if _FOR_PROXY.match(header[0])]
                    _tunnel(sockets.Wire(sock, deadline), target, own)
            with _step("in the TLS handshake", address):
                return sockets.secured(sock, target.host, tls, deadline), address
        except NoAnswer:
            sock.close()
            raise

    def _exchange(
        self, sock: socket.socket, target: Target, address: str, deadline: float
    ) -> tuple[HTTPResponse, bytes, bool]:
        """The response, its body, and whether the connection can be used again."""
        wire = sockets.Wire(sock, deadline)
        with _step(WAITING, address):
            wire.sendall(self._request(target))
            response = _final(wire)
        with closing(response), _step(MIDDLE, address):
            body = _body(response) if response.status in self.bodies else b""
            return response, body, response.isclosed() and not response.will_close

    def _request(self, target: Target) -> bytes:
        path_or_url, headers = target.path, self.headers
        if self.proxy and target.secure:
            headers = tuple(header for header in headers if not _FOR_PROXY.match(header[0]))
        elif self.proxy:  # a proxy gets the whole URL (RFC 9112, 3.2.2)
            path_or_url = f"http://{target.authority}{target.path}"
        usual = {
            "Host": target.authority,
            "User-Agent": "PetSage",
            "Accept-Encoding": "identity",
            "Connection": "keep-alive" if self.keeps else "close",
        }
        given = {name.lower() for name, _ in headers}
        unset = [(k, v) for k, v in usual.items() if k.lower() not in given]
        return _head(f"GET {path_or_url} HTTP/1.1", *unset, *headers)


def _head(start: str, *headers: tuple[str, str]) -> bytes:
    return "\r\n".join([start, *map(": ".join, headers), "", ""]).encode("latin-1")


def _taken(idle: "deque[tuple[socket.socket, str]]") -> tuple[socket.socket, str] | None:
    """The connection that has been idle for longest, once there are enough to take turns."""
    while len(idle) >= KEPT_CONNECTIONS:
        with suppress(IndexError):  # other threads were faster
            sock, address = idle.popleft()
            if _is_open(sock):
                return sock, address
            sock.close()
    return None


def _is_open(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        sock.recv(1)  # returns at its end, or if the server sent what nobody asked for
    except OSError as error:
        return isinstance(error, BlockingIOError | ssl.SSLWantReadError)
    return False


def _tunnel(wire: sockets.Wire, target: Target, headers: list[tuple[str, str]]) -> None:
    """Makes the proxy connect to the target (RFC 9110, 9.3.6)."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    place = f"{host}:{target.port}"
    wire.sendall(_head(f"CONNECT {place} HTTP/1.1", ("Host", place), *headers))
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
        if response.status >= 200 or response.status == 101:  # 101: protocols are switched
            return response


def _body(response: HTTPResponse) -> bytes:
    body = response.read(MAX_ANSWER_BYTES + 1)
    if response.length and len(body) <= MAX_ANSWER_BYTES:  # read() accepts an end that is too early
        raise IncompleteRead(body, response.length)
    return body


@contextmanager
def _step(name: str, address: str) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException) as error:
        raise NoAnswer(name, address) from error
    except Exception as error:  # http.client fails on a chunk whose size is -5
        raise NoAnswer(name, address) from HTTPException(str(error))
