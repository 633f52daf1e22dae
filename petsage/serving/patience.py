"""A worker that cannot be forked, or cannot boot: the arbiter tries again."""

import signal
import time
from typing import Any

from gunicorn.errors import HaltServer

from petsage.scoreboard import scoreboard
from petsage.serving.worker import STOPS

PAUSE_SECONDS = 0.5


class PatientForks:
    """Keeps an instance whose arbiter cannot fork, as for want of memory or processes.

    The arbiter looks up `spawn_worker`, `reap_workers` and `reexec` on itself, so an attribute of
    that name on the arbiter replaces its method; it misses a worker once a second, and calls again.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._spawn = server.spawn_worker
        self._reap = server.reap_workers
        self._reexec = server.reexec

    def install(self) -> None:
        """Replaces the arbiter's methods."""
        self._server.spawn_worker = self.spawn_worker
        self._server.reap_workers = self.reap_workers
        self._server.reexec = self.reexec

    def spawn_worker(self) -> None:
        """Forks a worker, and writes its process into its slot.

        Until the worker has handlers of its own, those of the arbiter would swallow its stop: so
        its signals are blocked until then (`Worker.init_signals`).
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            pid = self._spawn()
        except OSError as error:  # of the arbiter's: in the child gunicorn catches all
            self._server.log.warning("No worker could be started, tried again: %s", error.strerror)
            scoreboard.free_slots_without_process()
            time.sleep(PAUSE_SECONDS)
        else:
            worker = self._server.WORKERS[pid]
            if not worker.probe:
                worker.slot.pid = pid
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)

    def reap_workers(self) -> None:
        """Once a worker has served, another one that cannot boot does not end the instance."""
        try:
            self._reap()
        except HaltServer as halt:
            slots = scoreboard.slots()
            if not (scoreboard.finished_at or any(slot.has_begun for slot in slots)):
                raise
            self._server.log.warning("%s It is tried again.", halt.reason)
            for slot in slots:
                if slot.pid not in self._server.WORKERS:
                    slot.clear()
            time.sleep(PAUSE_SECONDS)

    def reexec(self) -> None:
        """SIGUSR2."""
        try:
            self._reexec()
        except OSError as error:
            self._server.log.warning("SIGUSR2 failed: %s", error.strerror)
