"""PetSage's worker: a gate before it, a stop that loses nothing, and errors as JSON."""

import faulthandler
import logging
import math
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import Any, NoReturn

from gunicorn.errors import AppImportError

from petsage import create_management_app, logs
from petsage.http_errors import error_body
from petsage.json_text import json_line
from petsage.scoreboard import scoreboard
from petsage.serving.connection import Connection
from petsage.serving.gate import Gate
from petsage.serving.loading import ServeError

PROBE_THREADS = 16

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT)
"""The signals that stop a worker."""


class Worker(Gate):
    """An application worker, or the probe worker."""

    app: Any
    """The `ServedApplication` of `petsage.serving.application`."""
    wsgi: Any

    def init_process(self) -> None:
        """Each worker keeps one listener and closes the other, which does not unlink its path."""
        main, management = self.sockets
        kept, other = (management, main) if self.probe else (main, management)
        other.close()
        self.sockets = [kept]
        sys.stdout, sys.stderr = logs.streams()  # whatever the application prints is queued too
        super().init_process()

    def thread_count(self) -> int:
        return PROBE_THREADS if self.probe else super().thread_count()

    def init_signals(self) -> None:
        super().init_signals()
        # gunicorn aborts a worker whose main loop hangs: this writes where, even if no thread runs.
        faulthandler.enable()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # the arbiter has blocked them to fork

    def load_wsgi(self) -> None:
        """Loads the application. In the probe worker the management application takes its place."""
        try:
            super().load_wsgi()
        except ServeError as error:  # it ends the instance
            raise AppImportError(error.lines()) from None
        logs.enabled_logger("py.warnings")  # which the application may have disabled
        if self.probe:
            os.environ.pop("SCRIPT_NAME", None)  # gunicorn mounts all that it serves there
            self.wsgi = create_management_app(self.app.config, self.wsgi)

    def begin_request(self, req: Any) -> None:
        """Log lines carry the request's ID. In a drain each answer is its connection's last."""
        logs.request_headers.set(req.headers)
        req._expected_100_continue = False  # the gate has sent 100 Continue, or has the whole body
        if scoreboard.draining:
            req.force_close()

    def end_request(self, req: Any, environ: Any, resp: Any) -> None:
        """Writes down that an application worker has finished a request."""
        if not self.probe:
            scoreboard.finished_at = time.monotonic()

    def notify(self) -> None:
        """Ends the worker if it is stuck. While nobody waits, long requests do no harm."""
        super().notify()
        since = self.slot.full_since
        if since and self.alive and not self.probe and self.slot.waited_at >= since:
            seconds = time.monotonic() - since
            if seconds >= (self.app.config.stuck_seconds or math.inf):
                self._end_stuck(seconds)

    def _end_stuck(self, seconds: float) -> NoReturn:
        """Logs the stacks of its threads, and ends; the arbiter replaces it."""
        if scoreboard.replaced_at <= scoreboard.finished_at:
            scoreboard.replaced_at = time.monotonic()
        event = (
            f"Worker {self.pid} is replaced: all its threads have been busy for {seconds:.0f} s"
            " while connections wait"
        )
        log = self.log.error_log
        record = log.makeRecord(log.name, logging.ERROR, "", 0, event, (), None)
        stacks = (traceback.format_stack(frame) for frame in sys._current_frames().values())
        record.stack_info = "\n".join(map("".join, stacks))
        log.handle(record)
        self.handle_quit(signal.SIGQUIT, None)

    def set_accept_enabled(self, enabled: bool) -> None:
        """A worker that stops accepts what waits in the listener's queue, then closes the listener.

        When the last process closes a listener, the kernel resets the connections in its queue. One
        that comes later is refused, and the proxy goes elsewhere.
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
        os._exit(0)

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
