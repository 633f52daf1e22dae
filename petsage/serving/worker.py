"""PetSage's worker: behind its gate, with a stop that loses nothing, and JSON errors."""

import logging
import select
import signal
import socket
from os import _exit
from typing import Any, NoReturn

from gunicorn.errors import AppImportError

from petsage import logs
from petsage.http_errors import error_body
from petsage.json_text import json_line
from petsage.serving.connection import Connection
from petsage.serving.gate import Gate
from petsage.serving.start import ServeError, refuse_patched_threads

PROBE_THREADS = 16

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT)
"""The signals that stop a worker."""


class Worker(Gate):
    """A worker of an instance."""

    def thread_count(self) -> int:
        return PROBE_THREADS if self.probe else super().thread_count()

    def init_signals(self) -> None:
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # the arbiter has blocked them to fork

    def load_wsgi(self) -> None:
        """Loads the application, and ends the instance if that has patched threads away."""
        try:
            super().load_wsgi()
        finally:  # the patching may also have failed the import
            try:
                refuse_patched_threads()
            except ServeError as error:
                raise AppImportError(error.lines()) from None

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

    def _accept_waiting(self, listener: Any) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while self.nr_conns < self.worker_connections and poll.poll(0):
            self.accept(listener)

    def handle(self, conn: Connection) -> Any:
        logs.request_headers.set(())  # of the request that this thread handled before
        return super().handle(conn)

    def handle_quit(self, sig: int, frame: object) -> NoReturn:
        """Ends at once. A plain exit would join the threads, and so wait for slow requests."""
        self.cfg.worker_int(self)
        logging.shutdown()
        _exit(0)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        super().handle_error(req, _JsonErrors(client, logs.request_id()), addr, exc)


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
