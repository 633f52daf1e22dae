"""Asks on connections that are kept, as a browser or a proxy does."""

import socket
import ssl
import time
from collections import defaultdict, deque
from dataclasses import replace

from petsage.client import Answer, Client, Target

KEPT_CONNECTIONS = 4
"""How many connections to a target take turns: behind a balancer they lead to several instances."""


class KeptClient:
    """Asks as `Client` does, on connections that are kept (RFC 9112, 9.3), in turn."""

    def __init__(self, client: Client) -> None:
        self._client = replace(client, headers=(*client.headers, ("Connection", "keep-alive")))
        self._idle: dict[tuple[str, ...], deque[tuple[socket.socket, str]]] = defaultdict(deque)

    def get(self, target: Target, addresses: tuple[str, ...], seconds: float) -> Answer:
        """As `Client.get`. One that the server has closed meanwhile is opened anew."""
        began = time.monotonic()
        deadline = began + seconds
        idle = self._idle[(target.url, *addresses[:1])]
        sock, address = _open_one(idle) or self._client.connect(target, addresses, deadline)
        again = False
        try:
            answer, again = self._client.ask(sock, target, address, began, deadline)
        finally:
            if again:
                idle.append((sock, address))
            else:
                sock.close()
        return answer

    def close(self) -> None:
        """Closes the connections that are idle."""
        for idle in self._idle.values():
            while idle:
                idle.pop()[0].close()


def _open_one(idle: "deque[tuple[socket.socket, str]]") -> tuple[socket.socket, str] | None:
    """The connection that has been idle for longest, once there are enough to take turns."""
    while len(idle) >= KEPT_CONNECTIONS:
        try:
            sock, address = idle.popleft()
        except IndexError:  # other threads were faster
            break
        sock.setblocking(False)
        try:
            sock.recv(1)  # an end, or an answer that nobody asked for
        except (BlockingIOError, ssl.SSLWantReadError):
            return sock, address
        except OSError:
            pass
        sock.close()
    return None
