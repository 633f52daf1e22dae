"""Servers that answer exactly the bytes that a test wants, in threads of this process."""

import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from petsage.health.schemas import smoke_test_body
from petsage.smoke_test import SUCCESS
from tests.certificates import Authority

BODY = smoke_test_body(SUCCESS)


@dataclass(frozen=True)
class Connection:
    """An accepted connection whose request has been read."""

    sock: socket.socket
    request: bytes
    number: int
    """How many connections of the server came before it."""
    over: threading.Event
    """Set when the test is over."""

    def drip(self, pieces: Iterator[bytes], seconds: float = 0.05) -> None:
        """Sends one piece after another until the test is over or the client has closed."""
        for piece in pieces:
            self.sock.sendall(piece)
            if self.over.wait(seconds):
                return


Script = Callable[[Connection], None]


@dataclass(frozen=True)
class Server:
    host: str
    port: int
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


def answer(
    body: bytes = BODY,
    status: str = "200 OK",
    release: str = "2",
    instance: str = "a",
    **headers: str,
) -> bytes:
    """The bytes of an answer; `content_type="text/html"` replaces or adds a header."""
    named = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "petsage-release": release,
        "petsage-instance": instance,
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in named.items() if v), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def says(*answers: bytes) -> Script:
    """Gives each connection the next of the answers; after the last one, that one again."""

    def script(connection: Connection) -> None:
        connection.sock.sendall(answers[min(connection.number, len(answers) - 1)])

    return script


def hangs(connection: Connection) -> None:
    """Never answers."""
    connection.over.wait(60)


@contextmanager
def server(
    script: Script,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    path: Path | None = None,
) -> Iterator[Server]:
    """Runs a script for each connection, at an address or at a unix socket."""
    over = threading.Event()
    with ExitStack() as stack:
        listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        stack.enter_context(closing(listener))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(str(path) if path else (host, port))
        listener.listen(128)
        served = Server(host, 0 if path else listener.getsockname()[1])
        accepting = threading.Thread(target=_accept, args=(listener, script, served, tls, over))
        accepting.start()
        stack.callback(accepting.join, 60)
        stack.callback(listener.shutdown, socket.SHUT_RDWR)
        stack.callback(over.set)
        yield served


def _accept(
    listener: socket.socket,
    script: Script,
    served: Server,
    tls: ssl.SSLContext | None,
    over: threading.Event,
) -> None:
    threads = []
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            break
        threads.append(threading.Thread(target=_serve, args=(sock, script, served, tls, over)))
        threads[-1].start()
    for thread in threads:
        thread.join(60)


def _serve(
    sock: socket.socket,
    script: Script,
    served: Server,
    tls: ssl.SSLContext | None,
    over: threading.Event,
) -> None:
    with closing(sock):
        sock.settimeout(10)
        try:
            with closing(tls.wrap_socket(sock, server_side=True) if tls else sock) as sock:
                request = b""
                while b"\r\n\r\n" not in request and (piece := sock.recv(65536)):
                    request += piece
                if request:
                    number = len(served.requests)
                    served.requests.append(request)
                    script(Connection(sock, request, number, over))
        except OSError:
            pass  # the client has closed the connection


@contextmanager
def swallowing(host: str, port: int) -> Iterator[None]:
    """An address whose queue is full, so that it drops the packets of every new connection."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind((host, port))
        full.listen(0)
        for _ in range(5):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield


@contextmanager
def dripping(data: bytes) -> Iterator[int]:
    """The port of a server that sends a byte of `data` every 50 ms, and repeats the last one for
    ever."""

    def drip(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            for byte in itertools.chain(data, itertools.repeat(data[-1])):
                connection.sendall(bytes([byte]))
                if over.wait(0.05):
                    return

    with _accepting(drip) as (port, over):
        yield port


@contextmanager
def peer(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that calls `behave` with each connection."""

    def serve(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            connection.settimeout(10)
            behave(connection)

    with _accepting(serve) as (port, _over):
        yield port


@contextmanager
def relay(port: int, hold: bytes, drips: bytes = b"") -> Iterator[tuple[int, threading.Event]]:
    """The port of a relay to the server at `port`, and an event.

    While the event is set, what a client sends does not reach the server if `hold` is in it; the
    client gets `drips` instead, byte by byte.
    """
    holding = threading.Event()

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if holding.is_set() and hold in data:
                    for byte in drips:
                        source.sendall(bytes([byte]))
                        over.wait(0.05)
                else:
                    sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def serve(client: socket.socket) -> None:
        with closing(client), socket.create_connection(("127.0.0.1", port)) as server:
            back = threading.Thread(target=pump, args=(server, client))
            back.start()
            pump(client, server)
            back.join(60)

    with _accepting(serve) as (own, over):
        yield own, holding


@contextmanager
def _accepting(
    serve: Callable[[socket.socket], None],
) -> Iterator[tuple[int, threading.Event]]:
    over = threading.Event()
    threads: list[threading.Thread] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threads.append(threading.Thread(target=accept))
        threads[0].start()
        try:
            yield listener.getsockname()[1], over
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(10)


def context_of(authority: Authority, name: str, days: float = 1) -> ssl.SSLContext:
    """The TLS context of a server of that name, whose certificate expires in `days`."""
    files = authority.issue((name,), days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context
