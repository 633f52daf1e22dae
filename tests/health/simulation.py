"""A simulated time for real threads: it passes only while all of them wait."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_PATIENCE_SECONDS = 20
_POLL_SECONDS = 0.0002


@dataclass(eq=False)
class _Waiting:
    """A thread that waits until a moment, or for an event."""

    until: float
    event: threading.Event
    over: bool = False


class SimulatedClock:
    """A monitor's clock. A thread whose name contains `prefix` waits for this clock, or is busy.

    Each call of `now` takes `tick` seconds, since a real one takes time too.
    """

    def __init__(self, prefix: str, tick: float = 0.0, now: float = 1024.0) -> None:
        self.time = now
        self.tick = tick
        self._prefix = prefix
        self._lock = threading.Lock()
        self._waiting: dict[threading.Thread, _Waiting] = {}

    def now(self) -> float:
        with self._lock:
            self.time += self.tick
            return self.time

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if event.is_set() or seconds <= 0:
            return event.is_set()
        waiting = _Waiting(self.time + seconds, event)
        self._waiting[threading.current_thread()] = waiting
        while not (event.wait(_POLL_SECONDS) or waiting.over):
            pass
        del self._waiting[threading.current_thread()]
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        """Lets a check take this time."""
        self.wait(threading.Event(), seconds)

    def start(self, target: Callable[[], None]) -> threading.Thread:
        """Starts a thread of the simulation."""
        thread = threading.Thread(target=target, name=f"caller of {self._prefix}", daemon=True)
        thread.start()
        return thread

    def settle(self) -> None:
        """Waits, in real time, until every thread has ended or waits for this clock."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not self._is_settled():
            assert time.monotonic() < end, f"busy: {self._threads()}"
            time.sleep(0)

    def advance(self, seconds: float) -> None:
        """Lets time pass, and wakes each thread at its moment."""
        end = self.time + seconds
        self.settle()
        while self._waiting and (first := min(w.until for w in self._waiting.values())) <= end:
            self.time = max(self.time, first)
            for waiting in list(self._waiting.values()):
                waiting.over = waiting.until <= self.time
            self.settle()
        self.time = max(self.time, end)

    def is_idle(self) -> bool:
        """Whether no thread is left."""
        return not self._threads()

    def _threads(self) -> list[threading.Thread]:
        return [t for t in threading.enumerate() if self._prefix in t.name]

    def _is_settled(self) -> bool:
        for thread in self._threads():
            waiting = self._waiting.get(thread)
            if waiting is None or waiting.over or waiting.event.is_set():
                return not thread.is_alive() and self._is_settled()
        return True
