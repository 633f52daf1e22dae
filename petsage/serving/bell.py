"""How the threads of a worker call its main loop."""

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any


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
