"""What was rendered within the last second."""

import threading
from collections.abc import Callable

from petsage.clock import Clock

RECENT_SECONDS = 1
USABLE_SECONDS = 5
"""How old a body may be while another thread renders: as old as a fresh result by default."""


class Recent:
    """Renders each body once a second at most: a flood of requests costs no time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bodies: dict[str, tuple[float, bytes | str]] = {}
        self._rendering: dict[str, threading.Lock] = {}

    def get(self, name: str, render: Callable[[], bytes | str]) -> bytes | str:
        """What `render` returns, or has returned less than a second ago.

        While another thread renders, it returns the body before, up to `USABLE_SECONDS` old.
        """
        before = self._fresh(name, USABLE_SECONDS)
        rendering = self._rendering.setdefault(name, threading.Lock())
        if not rendering.acquire(blocking=before is None):
            return before or b""
        try:
            body = self._fresh(name, RECENT_SECONDS)
            if body is None:
                body = render()
                self._bodies[name] = (self._clock.now(), body)
            return body
        finally:
            rendering.release()

    def _fresh(self, name: str, seconds: float) -> bytes | str | None:
        at, body = self._bodies.get(name, (float("-inf"), None))
        # If the age is below zero, the clock was set back, and nobody knows how old the body is.
        return body if 0 <= self._clock.now() - at < seconds else None
