"""How the threads of a worker call its main loop."""

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Bell:
    """Calls that other threads want the main loop to make, and a bell that wakes it."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._descriptor = -1
        self.is_asleep = False

    def init(self) -> None:
        """Opens the descriptor. It is called after the fork."""
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Readable once the bell has rung."""
        return self._descriptor

    def close(self) -> None:
        """Closes the descriptor. It is called when the main loop has ended."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def defer(self, call: Callable[..., None], *arguments: Any) -> None:
        """Makes the main loop call something at once."""
        self.add(call, *arguments)
        self.ring()

    def add(self, call: Callable[..., None], *arguments: Any) -> None:
        """Makes the main loop call something when it wakes next."""
        self._calls.append((call, arguments))

    def ring(self) -> None:
        """Wakes the main loop."""
        if self.is_asleep:
            self.is_asleep = False
            with suppress(OSError):  # the main loop has ended
                os.eventfd_write(self._descriptor, 1)

    def run_callbacks(self, _descriptor: int) -> None:
        """Resets the bell after it has rung. The name is gunicorn's; `run` makes the calls."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._descriptor)

    def has_calls(self) -> bool:
        """Whether there is something to call."""
        return bool(self._calls)

    def run(self) -> None:
        """Makes the calls that are there now, and not those that are added meanwhile."""
        for _ in range(len(self._calls)):
            call, arguments = self._calls.popleft()
            call(*arguments)
