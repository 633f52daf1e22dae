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

_IDLE_SECONDS = 0.2

Job = Callable[[], Any]
Course = Generator[list[Job], Any, None]
"""Yields jobs, and is sent what they returned, in their order."""


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


class Crew:
    """Courses run in the calling thread alone, their jobs in daemon threads: the end of the
    process does not wait for one that hangs."""

    def __init__(
        self, clock: Clock, arrived: Callable[[Any], None], idle: Callable[[], None]
    ) -> None:
        """`arrived` is told at once what a job returned, `idle` that nothing has come lately."""
        self._clock = clock
        self._arrived = arrived
        self._idle = idle
        self._jobs: SimpleQueue[tuple[_Walk, int, Job] | None] = SimpleQueue()
        self._inbox: SimpleQueue[tuple[_Walk, int, Any] | None] = SimpleQueue()
        self._threads = 0

    def close(self) -> None:
        """Drops the jobs that wait, and ends the threads."""
        with suppress(Empty):
            while True:
                self._jobs.get_nowait()
        for _ in range(self._threads):
            self._jobs.put(None)

    def interrupt(self) -> None:
        """Ends what runs with `Interrupted`. A signal handler may call it, as it may no method
        that takes a lock: `SimpleQueue.put` is reentrant."""
        self._inbox.put(None)

    def run(self, courses: Iterable[Course]) -> None:
        """Runs courses to their ends. What a job raises is raised here."""
        walks = [_Walk(course) for course in courses]
        under_way = [self._goes_on(walk) for walk in walks].count(True)
        while under_way:
            walk, place, result = self._next()
            if isinstance(result, BaseException):
                raise result
            self._arrived(result)
            walk.results[place] = result
            walk.missing -= 1
            if not walk.missing and not self._goes_on(walk):
                under_way -= 1

    def _next(self) -> tuple[_Walk, int, Any]:
        while True:
            try:
                done = self._inbox.get(timeout=_IDLE_SECONDS)
            except Empty:
                self._idle()
                continue
            if done is None:
                raise Interrupted
            return done

    def pause(self, seconds: float) -> None:
        """Waits; nothing but an interruption can come meanwhile."""
        with suppress(Empty):
            self._clock.receive(self._inbox, seconds)
            raise Interrupted

    def _goes_on(self, walk: _Walk) -> bool:
        """Sends a course its results and starts its next jobs; says whether there are any."""
        try:
            jobs = walk.course.send(walk.results or None)
        except StopIteration:
            return False
        walk.results, walk.missing = [None] * len(jobs), len(jobs)
        for place, job in enumerate(jobs):
            self._jobs.put((walk, place, job))
            if self._threads < THREADS:
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
