"""The threads of a worker, and how they call its main loop."""

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any


class Threads:
    """Daemon threads that do one job after the other; they are started as they are needed."""

    def __init__(self, most: int, work: Callable[[Any], None]) -> None:
        self.most = most
        self._work = work
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._started = 0

    def submit(self, job: Any, jobs: int) -> None:
        """Queues a job; with it there are so many jobs that wait or are done."""
        self._jobs.put(job)
        self.start(jobs)

    def start(self, jobs: int) -> None:
        """Starts a thread if these jobs want one more. If the system has none left, those that run
        do them, or one that is started at a later call."""
        if self._started < min(jobs, self.most):
            thread = threading.Thread(target=self._run, name="requests", daemon=True)
            with suppress(RuntimeError):
                thread.start()
                self._started += 1

    def shutdown(self, wait: bool = True) -> None:
        """Nothing: they end with the process, whatever they do."""

    def _run(self) -> None:
        while True:
            self._work(self._jobs.get())


class Bell:
    """Calls for the main loop."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._descriptor = -1
        self.is_asleep = False

    def init(self) -> None:
        """Called after the fork."""
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Readable once the bell has rung."""
        return self._descriptor

    def close(self) -> None:
        """Called when the main loop has ended."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def defer(self, call: Callable[..., None], *arguments: Any) -> None:
        """Has the main loop call something at once."""
        self.leave(call, *arguments)
        self.ring()

    def leave(self, call: Callable[..., None], *arguments: Any) -> None:
        """Has the main loop call something when it wakes next."""
        self._calls.append((call, arguments))

    def ring(self) -> None:
        """Wakes the main loop."""
        if self.is_asleep:
            self.is_asleep = False
            with suppress(OSError):  # it has ended
                os.eventfd_write(self._descriptor, 1)

    def run_callbacks(self, _descriptor: int) -> None:
        """The bell has rung."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)

    def has_calls(self) -> bool:
        """Whether there is something to call."""
        return bool(self._calls)

    def run(self) -> None:
        """Calls what is there by now, and not what comes meanwhile."""
        for _ in range(len(self._calls)):
            call, arguments = self._calls.popleft()
            call(*arguments)
