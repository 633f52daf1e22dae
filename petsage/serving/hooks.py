"""gunicorn's hooks: they give the arbiter one more worker, the probe worker.

The probe worker alone serves the management listener. The hooks' order in gunicorn: `when_ready`
in the arbiter; for each worker `pre_fork` in the arbiter, then `post_fork` and `post_worker_init`
in the worker; for each request `pre_request` and `post_request`.
"""

import gc
import math
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from petsage import logs
from petsage.config import Config
from petsage.scoreboard import Slot, scoreboard
from petsage.serving.drain import Drain
from petsage.serving.patience import PatientForks
from petsage.serving.reload import Reload
from petsage.serving.retired import Retired
from petsage.serving.start import refuse_patched_threads
from petsage.serving.wedged import Wedged
from petsage.serving.worker import Worker


def open_instance(server: Any, config: Config) -> None:
    """Makes SIGTERM a drain and SIGHUP a reload, and opens the main unix socket to the proxy."""
    # Without this, each worker's garbage collector would copy every page that it shares with the
    # arbiter, since it writes into each object that it visits.
    gc.freeze()
    gc.enable()
    Drain(server, config.drain_seconds).install()
    Reload(server, config.release).install()
    Wedged(server, config.stuck_seconds).install()
    PatientForks(server).install()
    Retired(server).install()
    refuse_patched_threads()
    getattr(server.app, "claims", ExitStack()).close()  # SIGUSR2 executes gunicorn alone
    if config.bind.path and not server.systemd:
        Path(config.bind.path).chmod(0o666)


def pre_fork(server: Any, worker: Worker) -> None:
    """The worker that is about to be forked becomes the probe worker if there is none.

    The very first worker never does: gunicorn waits up to 0.1 s before it forks the next one.
    """
    others = server.WORKERS.values()
    worker.probe = bool(others) and not any(other.probe for other in others)
    if worker.probe:
        worker.age = math.inf  # the arbiter retires the worker with the lowest age
    else:
        worker.slot = scoreboard.new_slot(time.monotonic())


def post_fork(server: Any, worker: Worker) -> None:
    """Each worker keeps one listener and closes the other, which does not unlink its path."""
    main, management = server.LISTENERS
    kept, other = (management, main) if worker.probe else (main, management)
    other.close()
    worker.sockets = [kept]


def worker_exit(server: Any, worker: Any) -> None:
    """A worker ends, or has ended: gunicorn calls this in the worker or in the arbiter."""
    getattr(worker, "slot", Slot()).clear()  # one that was adopted after a reload has none


def serve_management(worker: Worker, config: Config) -> None:
    """In the probe worker the management application takes the place of the loaded one."""
    logs.enabled("py.warnings")  # the application, which may have disabled it, is loaded now
    if worker.probe:
        from petsage import create_management_app

        worker.wsgi = create_management_app(config, worker.wsgi)


def pre_request(worker: Worker, req: Any) -> None:
    """Log lines carry the request's ID. During the drain each answer is its connection's last."""
    logs.request_headers.set(req.headers)
    req._expected_100_continue = False  # the gate has said it, or has the whole body
    if scoreboard.draining:
        req.force_close()


def post_request(worker: Worker, req: Any, environ: Any, resp: Any) -> None:
    """Writes down that an application worker has finished a request."""
    if not worker.probe:
        scoreboard.finished_at = time.monotonic()
