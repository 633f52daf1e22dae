"""Daemon threads that do jobs: the end of the process waits for none that hangs."""

from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Threads(Generic[_T]):
    """Threads that do one job after the other. One is started only when it is needed."""

    def __init__(self, max_threads: int, work: Callable[[_T], object]) -> None:
        """`max_threads` threads at most do the jobs. For each job they call `work`."""
        self.max_threads = max_threads
        self.started = 0
        self._work = work
        self._jobs: SimpleQueue[_T | None] = SimpleQueue()

    def submit(self, job: _T, jobs: int) -> None:
        """Queues a job. `jobs` is how many wait or run then."""
        self._jobs.put(job)
        self.start(jobs)

    def start(self, jobs: int) -> None:
        """Starts a thread if so many jobs need one more. If the system has no thread left, the jobs
        wait for those that run, or for a later call."""
        if self.started < min(jobs, self.max_threads):
            with suppress(RuntimeError):
                Thread(target=self._run, name="jobs", daemon=True).start()
                self.started += 1

    def shutdown(self, wait: bool = False) -> None:
        """Drops the jobs that have not begun, and ends each thread after its job; never waits."""
        with suppress(Empty):
            while True:
                self._jobs.get_nowait()
        for _ in range(self.started):
            self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._work(job)
