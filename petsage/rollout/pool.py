"""Jobs that run at once, and whose results come to the thread that has submitted them."""

from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from petsage.threads import Threads

THREADS = 64
"""How many jobs run at once: while fewer than that hang, the others go on."""

_T = TypeVar("_T")


class Pool(Generic[_T]):
    """Runs jobs in threads, and hands their results to the thread that owns the pool."""

    def __init__(self, threads: int = THREADS) -> None:
        self.under_way = 0
        """How many jobs have been submitted whose results have not been taken."""
        self._threads = Threads(threads, self._run)
        self._results: SimpleQueue[_T | BaseException] = SimpleQueue()
        self.close = self._threads.shutdown

    def submit(self, job: Callable[[], _T]) -> None:
        """Runs a job as soon as a thread is free. Raises `RuntimeError` if there is none at all."""
        self.under_way += 1
        self._threads.submit(job, self.under_way)
        if not self._threads.started:
            raise RuntimeError("the system has no thread left")

    def result(self, seconds: float) -> _T:
        """The next job's result, or what it raised. Raises `queue.Empty` after `seconds`."""
        result = self._results.get(timeout=seconds)
        self.under_way -= 1
        if isinstance(result, BaseException):
            raise result
        return result

    def _run(self, job: Callable[[], _T]) -> None:
        try:
            self._results.put(job())
        except BaseException as error:
            self._results.put(error)
