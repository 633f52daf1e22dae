"""PetSage's worker: gunicorn's threaded worker, with a stop that loses nothing, and JSON errors."""

import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from os import _exit
from typing import Any, NoReturn

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from petsage import logs
from petsage.http_errors import error_body
from petsage.json_text import json_line

PROBE_THREADS = 16

# How long a thread waits for a client to close its side of a connection that ends.
LINGER_SECONDS = 1


class Worker(ThreadWorker):
    """gunicorn's threaded worker, with a stop that loses nothing, and JSON errors."""

    sockets: list[Any]
    probe = False
    """Whether this is the probe worker."""

    def get_thread_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(PROBE_THREADS if self.probe else self.cfg.threads)

    def set_accept_enabled(self, enabled: bool) -> None:
        """A worker that stops accepts what waits in the listener's queue, then closes the listener.

        The kernel resets what waits in a queue when its last holder closes it. A connection that
        comes later is refused, and the proxy goes elsewhere.
        """
        if self.alive:
            super().set_accept_enabled(enabled)
            return
        for listener in self.sockets:
            self._accept_waiting(listener)
        super().set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        self.sockets = []  # gunicorn comes here twice if the stop came while it booted
        # A client that has sent nothing yet waits no longer than a kept-alive connection.
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)

    def _accept_waiting(self, listener: Any) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while self.nr_conns < self.worker_connections and poll.poll(0):
            self.accept(listener)

    def handle(self, conn: Any) -> Any:
        """Handles a request, and closes a connection that ends in this thread.

        gunicorn closes it in the main loop, which takes up to 2 s: sixteen clients that keep their
        side open would stop the worker for half a minute.
        """
        logs.request_headers.set(())  # of the request that this thread handled before
        keep = super().handle(conn)
        if keep is False:
            _linger(conn.sock)
        return keep

    def handle_quit(self, sig: int, frame: object) -> NoReturn:
        """Ends at once. A plain exit would join the threads, and so wait for slow requests."""
        self.cfg.worker_int(self)
        _exit(0)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        super().handle_error(req, _JsonErrors(client, logs.request_id()), addr, exc)


def _linger(connection: socket.socket) -> None:
    """Waits for the client to have read the answer and closed (RFC 9112, 9.6), but not for long."""
    deadline = time.monotonic() + LINGER_SECONDS
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(4096):
                break
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _JsonErrors:
    """A client's socket that turns gunicorn's error page into JSON with the same status."""

    def __init__(self, client: socket.socket, request_id: str | None) -> None:
        self._client = client
        self._request_id = request_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, page: bytes) -> None:
        status_line = page.partition(b"\r\n")[0]
        _, code, phrase = status_line.decode("latin-1").split(" ", 2)
        body = json_line(error_body(int(code), phrase, self._request_id))
        headers = (
            f"Connection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._client.sendall(status_line + b"\r\n" + headers.encode("latin-1") + body)
