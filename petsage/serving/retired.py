"""Workers that are stopping: they do not count, or a killed one would miss its successor."""

import signal
from typing import Any


class Retired:
    """Takes stopping workers out of the arbiter's count while it decides how many it needs.

    A stop lasts as long as its slowest request. The arbiter looks up `manage_workers` and
    `kill_worker` on itself, so an attribute of that name on the arbiter replaces its method.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._manage = server.manage_workers
        self._kill = server.kill_worker
        self._retired: set[int] = set()

    def install(self) -> None:
        """Replaces the arbiter's methods."""
        self._server.manage_workers = self.manage_workers
        self._server.kill_worker = self.kill_worker

    def kill_worker(self, pid: int, number: int) -> None:
        """Sends a signal; after SIGTERM the worker is retired."""
        if number == signal.SIGTERM:
            self._retired.add(pid)
        self._kill(pid, number)

    def manage_workers(self) -> None:
        """Forks workers that are missing, and retires those that are too many."""
        workers = self._server.WORKERS
        self._retired &= set(workers)
        aside = {pid: workers.pop(pid) for pid in self._retired}
        try:
            self._manage()
        finally:
            workers.update(aside)
