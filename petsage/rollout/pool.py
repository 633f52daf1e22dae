"""Daemon threads that run jobs: the end of the process waits for none that hangs."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

THREADS = 64
"""How many jobs run at once: while fewer than that hang, the others go on."""

_T = TypeVar("_T")


@dataclass
class Pool(Generic[_T]):
    """Runs jobs in threads, and hands their results to the thread that owns the pool."""

    threads: int = THREADS
    start: Callable[[Thread], object] = Thread.start
    under_way: int = 0
    """How many jobs have been submitted whose results have not been taken."""
    _started: int = 0
    _jobs: SimpleQueue[Callable[[], _T] | None] = field(default_factory=SimpleQueue)
    _results: SimpleQueue[_T | BaseException] = field(default_factory=SimpleQueue)

    def submit(self, job: Callable[[], _T]) -> None:
        """Runs a job as soon as a thread is free."""
        self.under_way += 1
        self._jobs.put(job)
        if self._started < min(self.threads, self.under_way):
            try:
                self.start(Thread(target=_work, args=(self._jobs, self._results), daemon=True))
            except RuntimeError:  # the system has no thread left: the job waits for one of ours
                if not self._started:
                    raise
                return
            self._started += 1

    def result(self, seconds: float) -> _T:
        """The next job's result, or what it raised. Raises `queue.Empty` after `seconds`."""
        result = self._results.get(timeout=seconds)
        self.under_way -= 1
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        """Drops the jobs that have not begun, and ends the threads."""
        with suppress(Empty):
            while True:
                self._jobs.get_nowait()
        for _ in range(self._started):
            self._jobs.put(None)


def _work(
    jobs: "SimpleQueue[Callable[[], _T] | None]", results: "SimpleQueue[_T | BaseException]"
) -> None:
    while job := jobs.get():
        try:
            results.put(job())
        except BaseException as error:
            results.put(error)
