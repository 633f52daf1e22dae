"""gunicorn's hooks: they give the arbiter one more worker, the probe worker.

The probe worker alone serves the management listener. The hooks' order in gunicorn: `when_ready`
in the arbiter; for each worker `pre_fork` in the arbiter, then `post_fork` and `post_worker_init`
in the worker; for each request `pre_request` and `post_request`.
"""

import gc
import math
import socket
import struct
import time
from pathlib import Path
from typing import Any

from petsage import logs
from petsage.config import Config
from petsage.scoreboard import scoreboard
from petsage.serving.drain import Drain
from petsage.serving.logger import is_no_stalled_client
from petsage.serving.worker import Worker

# A thread that reads half a request waits at most this long for the rest. Behind a proxy that
# buffers requests the main listener never receives half a request; a kubelet's timeout is 1 s.
RECEIVE_SECONDS = 10
PROBE_RECEIVE_SECONDS = 1


def open_instance(server: Any, config: Config) -> None:
    """Opens the main unix socket to the proxy, and makes the first SIGTERM a drain."""
    # Without this, each worker's garbage collector would copy every page that it shares with the
    # arbiter, since it writes into each object that it visits.
    gc.freeze()
    gc.enable()
    server.log.error_log.addFilter(is_no_stalled_client)
    if config.bind.path:
        Path(config.bind.path).chmod(0o666)
    Drain(server, config.drain_seconds).install()


def pre_fork(server: Any, worker: Worker) -> None:
    """The worker that is about to be forked becomes the probe worker if there is none.

    The very first worker never does: gunicorn waits up to 0.1 s before it forks the next one.
    """
    others = server.WORKERS.values()
    worker.probe = bool(others) and not any(other.probe for other in others)
    if worker.probe:
        worker.age = math.inf  # the arbiter retires the worker with the lowest age


def post_fork(server: Any, worker: Worker) -> None:
    """Each worker keeps one listener and closes the other, which does not unlink its path."""
    main, management = server.LISTENERS
    kept, other = (management, main) if worker.probe else (main, management)
    other.close()
    worker.sockets = [kept]
    seconds = PROBE_RECEIVE_SECONDS if worker.probe else RECEIVE_SECONDS
    # Accepted sockets inherit it, and gunicorn's setblocking() does not end it: socket(7).
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))


def serve_management(worker: Worker, config: Config) -> None:
    """In the probe worker the management application takes the place of the loaded one."""
    if worker.probe:
        from petsage import create_management_app

        worker.wsgi = create_management_app(config, worker.wsgi)


def pre_request(worker: Worker, req: Any) -> None:
    """Log lines carry the request's ID. During the drain each answer is its connection's last."""
    logs.request_headers.set(req.headers)
    if scoreboard.draining:
        req.force_close()


def post_request(worker: Worker, req: Any, environ: Any, resp: Any) -> None:
    """Writes down that an application worker has finished a request."""
    if not worker.probe:
        scoreboard.finished_at = time.monotonic()


def on_reload(server: Any) -> None:
    """SIGHUP retires the old workers, by age; the old probe worker must be among them."""
    for worker in server.WORKERS.values():
        if worker.probe:
            worker.probe, worker.age = False, 0
