"""What the processes of an instance share: a few bytes of memory, mapped before they fork."""

import mmap
import time


class Scoreboard:
    """Four numbers that every process forked after its making reads and writes.

    Each is an aligned 8-byte cell, which a processor writes whole, so no lock is needed.
    """

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("d")
        self.began_at = time.monotonic()

    @property
    def draining(self) -> bool:
        """Whether the instance is about to stop."""
        return self._cells[0] != 0

    @draining.setter
    def draining(self, value: bool) -> None:
        self._cells[0] = value

    @property
    def started(self) -> bool:
        """Whether the startup probe has held once."""
        return self._cells[1] != 0

    @started.setter
    def started(self, value: bool) -> None:
        self._cells[1] = value

    @property
    def finished_at(self) -> float:
        """When an application worker last finished a request, in monotonic seconds; 0 if never."""
        return self._cells[2]

    @finished_at.setter
    def finished_at(self, value: float) -> None:
        self._cells[2] = value

    @property
    def began_at(self) -> float:
        """When the instance began, in monotonic seconds: the arbiter makes it at once."""
        return self._cells[3]

    @began_at.setter
    def began_at(self, value: float) -> None:
        self._cells[3] = value


scoreboard = Scoreboard()
"""This instance's. It must exist before the workers are forked, so it lives here."""
