"""Clients that mean harm, many at once, in a process of their own.

    python -m tests.attackers KIND COUNT SECONDS ADDRESS [PATH]

They replace each connection that is closed. ADDRESS is host:port or unix:PATH.
"""

import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support import ROOT, running

_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: localhost\r\n"

KINDS = {
    "idle": b"",
    "half request": _GET,
    "dripping head": _GET + b"X: ",
    "dripping body": _POST + b"Content-Length: 100000\r\n\r\n",
    "dripping chunks": _POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n",
    "dripping large body": _POST + b"Content-Length: 1000000\r\n\r\n" + b"x" * 200_000,
    "expecting": _POST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    "pipelining": (_GET + b"\r\n") * 20,
    "not reading": _GET + b"\r\n",
}
"""What each client sends at first. The dripping ones then send a byte every half second."""


def attack(kind: str, count: int, seconds: float, address: str, path: str = "/") -> None:
    """Attacks with `count` clients at a time, for so many seconds."""
    opening = KINDS[kind].replace(b" / ", f" {path} ".encode())
    clients: dict[int, socket.socket] = {}
    ends = select.epoll()
    over, drip_at = time.monotonic() + seconds, 0.0
    while (now := time.monotonic()) < over:
        for _ in range(min(50, count - len(clients))):
            with suppress(OSError):
                client = _opened(address, opening)
                clients[client.fileno()] = client
                ends.register(
                    client, select.EPOLLRDHUP
                )  # not for input: these clients read nothing
        if "dripping" in kind and now > drip_at:
            drip_at = now + 0.5
            for client in clients.values():
                with suppress(OSError):
                    client.send(b"1")
        for descriptor, _ in ends.poll(0.02):
            clients.pop(descriptor).close()


def _opened(address: str, opening: bytes) -> socket.socket:
    host, _, port = address.rpartition(":")
    client = socket.socket(socket.AF_UNIX if host == "unix" else socket.AF_INET)
    try:
        client.settimeout(0.5)
        client.connect(port if host == "unix" else (host, int(port)))
        client.setblocking(False)
        with suppress(BlockingIOError):
            client.send(opening)
    except OSError:
        client.close()
        raise
    return client


@contextmanager
def attacked(
    kind: str, count: int, seconds: float, address: str, path: str = "/"
) -> Iterator[None]:
    """Attacks while the block runs, for so many seconds at most."""
    command = [sys.executable, "-m", "tests.attackers", kind, str(count), str(seconds), address]
    with running([*command, path], cwd=ROOT):
        yield


if __name__ == "__main__":
    attack(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:])
