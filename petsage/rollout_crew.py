"""Threads that do the jobs of many courses at once, of which one that hangs holds up no other."""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Protocol

THREADS = 64
"""How many jobs run at once: while fewer than that hang, the others go on."""

Job = Callable[[], Any]
Course = Generator[list[Job], list[Any], Any]
"""Yields jobs, is sent what they returned, in their order, and returns what came of it all."""


class Interrupted(Exception):
    """Somebody called `Crew.interrupt`."""


class Clock(Protocol):
    """What a rollout knows of time."""

    def now(self) -> float:
        """Seconds since some moment; never set back by anyone."""
        ...

    def receive(self, inbox: "SimpleQueue[Any]", seconds: float) -> Any:
        """What comes into the inbox within `seconds`. Raises `queue.Empty` if nothing does."""
        ...


class SystemClock:
    """The system's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    def receive(self, inbox: "SimpleQueue[Any]", seconds: float) -> Any:
        return inbox.get(timeout=seconds)


@dataclass(slots=True, eq=False)
class _Walk:
    """A course, and what it waits for."""

    course: Course
    results: list[Any] = field(default_factory=list)
    missing: int = 0
    outcome: Any = None


class Crew:
    """Courses run in the calling thread alone, their jobs in daemon threads: the end of the
    process does not wait for one that hangs. To be used as a context manager."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: SimpleQueue[tuple[_Walk, int, Job] | None] = SimpleQueue()
        self._inbox: SimpleQueue[tuple[_Walk, int, Any] | None] = SimpleQueue()
        self._threads = self._unfinished = 0

    def __enter__(self) -> None:
        """Threads are started as jobs need them."""

    def __exit__(self, *raised: object) -> None:
        with suppress(Empty):
            while True:
                self._jobs.get_nowait()
        for _ in range(self._threads):
            self._jobs.put(None)

    def interrupt(self) -> None:
        """Ends what runs with `Interrupted`. A signal handler may call it, as it may no method
        that takes a lock: `SimpleQueue.put` is reentrant."""
        self._inbox.put(None)

    def run(self, courses: Iterable[Course]) -> list[Any]:
        """What the courses return, in their order. What a job raises is raised here."""
        walks = [_Walk(course) for course in courses]
        under_way = [self._goes_on(walk) for walk in walks].count(True)
        while under_way:
            done = self._inbox.get()
            if done is None:
                raise Interrupted
            walk, place, result = done
            if isinstance(result, BaseException):
                raise result
            self._unfinished -= 1
            walk.results[place] = result
            walk.missing -= 1
            if not walk.missing and not self._goes_on(walk):
                under_way -= 1
        return [walk.outcome for walk in walks]

    def pause(self, seconds: float) -> None:
        """Waits; nothing but an interruption can come meanwhile."""
        with suppress(Empty):
            self._clock.receive(self._inbox, seconds)
            raise Interrupted

    def _goes_on(self, walk: _Walk) -> bool:
        """Sends a course its results and starts its next jobs; says whether there are any."""
        try:
            jobs = walk.course.send(walk.results) if walk.results else next(walk.course)
        except StopIteration as end:
            walk.outcome = end.value
            return False
        walk.results, walk.missing = [None] * len(jobs), len(jobs)
        for place, job in enumerate(jobs):
            self._jobs.put((walk, place, job))
            self._unfinished += 1
            if self._threads < min(self._unfinished, THREADS):
                self._threads += 1
                Thread(target=_work, args=(self._jobs, self._inbox), daemon=True).start()
        return True


def _work(jobs: "SimpleQueue[Any]", inbox: "SimpleQueue[Any]") -> None:
    while job := jobs.get():
        walk, place, run = job
        try:
            inbox.put((walk, place, run()))
        except BaseException as error:
            inbox.put((walk, place, error))
