"""What gunicorn runs by: everything is derived from `Config`.

gunicorn reads the names of its settings and hooks off this module and ignores all others:
https://gunicorn.org/reference/settings/. The hooks give an arbiter one more worker, the probe
worker, which alone serves the management listener, and make its stop a drain.
"""

import gc
import logging
import math
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from os import _exit
from pathlib import Path
from typing import Any, NoReturn

from gunicorn import glogging
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from petsage import logs
from petsage.checks import whereabouts
from petsage.config import Config, ConfigError
from petsage.http_errors import error_body
from petsage.json_text import json_line
from petsage.scoreboard import scoreboard

PROBE_THREADS = 16

# A thread that reads half a request waits no longer than this for the rest. Behind a proxy that
# buffers requests the main listener never sees one; a kubelet's timeout is 1 s.
RECEIVE_SECONDS = 10
PROBE_RECEIVE_SECONDS = 1

# How long a thread waits for a client to close its side of a connection that ends.
LINGER_SECONDS = 1

try:
    _config = Config.load()
except ConfigError as error:
    print(error.lines(), file=sys.stderr)  # noqa: T201
    sys.exit(error.exit_code)

bind = [str(_config.bind), str(_config.management_bind)]
workers = _config.workers + 1
threads = _config.threads
worker_class = "petsage.serving.settings.Worker"
graceful_timeout = _config.graceful_seconds
loglevel = _config.log_level
logger_class = "petsage.serving.settings.Logger"
logconfig_dict = logs.settings(_config)
keepalive = 75  # longer than a proxy's, so that it is the proxy who closes: see deploy/nginx.conf
control_socket_disable = True  # its default place is the home directory
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
secure_scheme_headers: dict[str, str] = {}  # PETSAGE_PROXIES alone says who is believed
umask = 0o177  # a unix socket is its owner's alone until `when_ready` opens the main one


class Logger(glogging.Logger):
    """gunicorn's logger, but for the access log, which is the proxy's: with any `logconfig_dict`
    gunicorn would write one, and even one that goes nowhere takes 76 us a request."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Nothing."""


class Worker(ThreadWorker):
    """gunicorn's threaded worker, with a stop that loses nothing, and JSON errors."""

    sockets: list[Any]
    probe = False
    """Whether this is the probe worker."""

    def get_thread_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(PROBE_THREADS if self.probe else self.cfg.threads)

    def set_accept_enabled(self, enabled: bool) -> None:
        """On its way out a worker accepts what waits in its queue, and then closes it.

        What waits in a queue when its last holder closes it is reset; what comes after that is
        refused, and the proxy goes elsewhere.
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
        # Who has sent nothing yet gets no longer than a kept-alive connection does.
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)

    def _accept_waiting(self, listener: Any) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while self.nr_conns < self.worker_connections and poll.poll(0):
            self.accept(listener)

    def handle(self, conn: Any) -> Any:
        """Handles a request, and lets go of a connection that ends here, in this thread.

        gunicorn does that in the main loop, for up to 2 s each: sixteen clients that keep theirs
        open would stop the worker for half a minute.
        """
        logs.request_headers.set(())  # this thread's last request is over
        keep = super().handle(conn)
        if keep is False:
            _let_go(conn.sock)
        return keep

    def handle_quit(self, sig: int, frame: object) -> NoReturn:
        """Ends at once. A plain exit would wait for the threads, and so for slow requests."""
        self.cfg.worker_int(self)
        _exit(0)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        super().handle_error(req, _JsonErrors(client, logs.request_id()), addr, exc)


def _let_go(connection: socket.socket) -> None:
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


def pre_fork(server: Any, worker: Worker) -> None:
    """The worker about to be forked becomes the probe worker if there is none.

    Not the very first one, though: gunicorn waits up to 0.1 s before it forks the next.
    """
    others = server.WORKERS.values()
    worker.probe = bool(others) and not any(other.probe for other in others)
    if worker.probe:
        worker.age = math.inf  # the arbiter retires the one with the lowest age


def post_fork(server: Any, worker: Worker) -> None:
    """Each worker keeps one listener. To close the other one here does not unlink its path."""
    main, management = server.LISTENERS
    kept, other = (management, main) if worker.probe else (main, management)
    other.close()
    worker.sockets = [kept]
    seconds = PROBE_RECEIVE_SECONDS if worker.probe else RECEIVE_SECONDS
    # Accepted sockets inherit it, and it outlives gunicorn's setblocking(): socket(7).
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))


def post_worker_init(worker: Worker) -> None:
    """The probe worker serves the management application in place of the one that was loaded."""
    if worker.probe:
        from petsage import create_management_app

        worker.wsgi = create_management_app(_config, worker.wsgi)


def pre_request(worker: Worker, req: Any) -> None:
    """Log lines carry the request's ID, and while the instance drains, each answer is its
    connection's last."""
    logs.request_headers.set(req.headers)
    if scoreboard.draining:
        req.force_close()


def post_request(worker: Worker, req: Any, environ: Any, resp: Any) -> None:
    """The evidence that the workers finish requests."""
    if not worker.probe:
        scoreboard.finished_at = time.monotonic()


def on_reload(server: Any) -> None:
    """SIGHUP retires the old workers, by age: the old probe worker must be among them."""
    for worker in server.WORKERS.values():
        if worker.probe:
            worker.probe, worker.age = False, 0


def when_ready(server: Any) -> None:
    """Opens the main unix socket to the proxy, and makes the first SIGTERM a drain."""
    # Or each worker's collector writes into every page that it shares with the arbiter.
    gc.freeze()
    server.log.error_log.addFilter(_is_no_stalled_client)
    if _config.bind.path:
        Path(_config.bind.path).chmod(0o666)
    Drain(server, _config.drain_seconds).install()


def _is_no_stalled_client(record: logging.LogRecord) -> bool:
    """A receive of gunicorn's that timed out is the client's failure: it deserves no trace."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, BlockingIOError) and "(gunicorn.http." in whereabouts(error))


class Drain:
    """Between the first SIGTERM and the real stop an instance serves, but asks for no more work.

    The arbiter looks up `handle_NAME` on itself for each signal, so its own can be stood in for.
    """

    def __init__(self, server: Any, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._stop: Callable[[], NoReturn] = server.handle_term
        self._quit: Callable[[], None] = server.handle_int
        self._fewer_workers: Callable[[], None] = server.handle_ttou

    def install(self) -> None:
        """Stands in for the arbiter's handlers."""
        server = self._server
        server.handle_term = self.begin
        server.handle_alrm = self._stop
        server.handle_int = server.handle_quit = self.quit
        server.handle_ttou = self.fewer_workers

    def begin(self) -> None:
        """SIGTERM: the second one ends the drain. Between a USR2 child and its parent there is
        nothing to drain: the one that stays has the same listeners."""
        server = self._server
        if scoreboard.draining or not self._seconds or server.reexec_pid or server.master_pid:
            self._stop()
        scoreboard.draining = True
        server.log.info("Draining for %g s", self._seconds)
        signal.signal(signal.SIGALRM, server.signal)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def quit(self) -> None:
        """SIGINT and SIGQUIT: a worker that cannot hear is killed after a second, or after the two
        that gunicorn gives it in the midst of a stop."""
        self._server.cfg.set("graceful_timeout", 1)
        self._quit()

    def fewer_workers(self) -> None:
        """SIGTTOU: one application worker and the probe worker stay."""
        if self._server.num_workers > 2:
            self._fewer_workers()
