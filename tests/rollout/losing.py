"""A server that loses exactly the requests that a test wants lost."""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

BODY = b'{"status":"ok","message":"PetSage Smoke Test: Success!","feature":"smoke_test"}\n'


def good(release: str, instance: str) -> bytes:
    """A whole answer that keeps the contract."""
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"PetSage-Release: %b\r\nPetSage-Instance: %b\r\nContent-Length: %d\r\n\r\n%b"
    ) % (release.encode(), instance.encode(), len(BODY), BODY)


LIMITED = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad"


@dataclass
class Losing:
    """Numbers requests from 1 as they arrive; those in `ways` are lost in that way."""

    ways: Mapping[int, str]
    turn_at: int = 10**9
    """From this request on the new release answers."""
    closes: bool = False
    """Whether it closes each connection after an answer, without announcing that."""
    port: int = 0
    arrived: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    """How many requests were lost on connections that had carried one before, by way."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, client: socket.socket) -> None:
        """Serves one connection until it ends."""
        with client, suppress(OSError):
            for nth in range(10**9):
                if not self._request(client):
                    return
                with self._lock:
                    self.arrived += 1
                    number = self.arrived
                way = self.ways.get(number)
                if way and nth:
                    self.kept[way] += 1
                if not self._answer(client, number, way):
                    return

    def _request(self, client: socket.socket) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            received = client.recv(4096)
            if not received:
                return False
            head += received
        return True

    def _answer(self, client: socket.socket, number: int, way: str | None) -> bool:
        """Answers or loses a request; returns whether the connection stays open."""
        new = number >= self.turn_at
        answer = good("r2", "i2") if new else good("r1", "i1")
        match way:
            case None:
                client.sendall(answer)
                return not self.closes
            case "5xx":
                client.sendall(BAD_GATEWAY)
                return True
            case "rate-limited":
                client.sendall(LIMITED)
                return True
            case "cut":
                client.sendall(answer[:-10])
            case "cut head":
                client.sendall(answer[:60])
            case "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case "timed out":
                client.recv(1)  # until the client gives up
        return False


@contextmanager
def losing(
    ways: Mapping[int, str],
    turn_at: int = 10**9,
    *,
    closes: bool = False,
    at: tuple[str, int] = ("127.0.0.1", 0),
) -> Iterator[Losing]:
    """A server, on a free port by default."""
    server = Losing(ways, turn_at, closes)
    with socket.create_server(at, backlog=512) as listener:
        server.port = listener.getsockname()[1]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=server.serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
