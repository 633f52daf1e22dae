"""Time, as a parameter: no test sleeps."""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What PetSage knows of time."""

    def now(self) -> float:
        """Seconds since an arbitrary moment; it never goes back."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Waits for the event, `seconds` at most; returns whether it came."""
        ...


class SystemClock:
    """The system's monotonic clock, which every process of the machine shares."""

    def now(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)
