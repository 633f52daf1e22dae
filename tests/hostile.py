"""Servers that answer as a test wants it, byte by byte, in threads of this process."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from petsage.contract import SUCCESS
from petsage.health.schemas import smoke_test_body
from tests.certificates import Authority

BODY = smoke_test_body(SUCCESS)


@dataclass(frozen=True)
class Connection:
    """An accepted connection whose request has been read."""

    sock: socket.socket
    request: bytes
    number: int
    """How many came before it."""
    over: threading.Event
    """Set when the test is over."""

    def drip(self, pieces: Iterator[bytes], seconds: float = 0.05) -> None:
        """Sends a piece, again and again, until the test or the client has had enough."""
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
    """An answer as bytes; `content_type="text/html"` replaces or adds a header."""
    named = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "petsage-release": release,
        "petsage-instance": instance,
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in named.items() if v), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def says(*answers: bytes) -> Script:
    """Each connection gets the next of the answers; when they are used up, the last one."""

    def script(connection: Connection) -> None:
        connection.sock.sendall(answers[min(connection.number, len(answers) - 1)])

    return script


def hangs(connection: Connection) -> None:
    """Never says a word."""
    connection.over.wait()


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
        stack.callback(accepting.join)
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
        thread.join()


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
            pass  # the client had enough


def context_of(authority: Authority, name: str, days: float = 1) -> ssl.SSLContext:
    """What a server of that name needs, with a certificate that ends in `days`."""
    files = authority.issue((name,), days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context
