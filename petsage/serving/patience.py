"""A fork that fails: the arbiter tries it again."""

import time
from typing import Any

from petsage.scoreboard import scoreboard

PAUSE_SECONDS = 0.5


class PatientForks:
    """Keeps an instance whose arbiter cannot fork, as for want of memory or processes.

    The arbiter looks up `spawn_worker` and `reexec` on itself, so an attribute of that name on the
    arbiter replaces its method; it misses a worker once a second, and calls again.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._spawn = server.spawn_worker
        self._reexec = server.reexec

    def install(self) -> None:
        """Replaces the arbiter's methods."""
        self._server.spawn_worker = self.spawn_worker
        self._server.reexec = self.reexec

    def spawn_worker(self) -> None:
        """Forks a worker, and writes its process into its slot."""
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

    def reexec(self) -> None:
        """SIGUSR2."""
        try:
            self._reexec()
        except OSError as error:
            self._server.log.warning("SIGUSR2 failed: %s", error.strerror)
