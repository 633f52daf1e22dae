"""What the processes of an instance share: a piece of memory, mapped before they fork."""

import mmap
import time
from collections.abc import Container

_HEADER_CELLS = 8
_SLOT_CELLS = 8
_SLOTS = 2048


class _Cell:
    """A number in the shared memory: an aligned cell of 8 bytes, which a processor writes whole, so
    no lock is needed."""

    def __init__(self, index: int, meaning: str) -> None:
        self._index = index
        self.__doc__ = meaning

    def __get__(self, owner: "Slot | Scoreboard", kind: type | None = None) -> float:
        return owner.cells[self._index]

    def __set__(self, owner: "Slot | Scoreboard", value: float) -> None:
        owner.cells[self._index] = value


class _Flag(_Cell):
    """A cell that holds true or false."""

    def __get__(self, owner: "Slot | Scoreboard", kind: type | None = None) -> bool:
        return super().__get__(owner) != 0


class Slot:
    """What one application worker says of itself. All moments are monotonic seconds; 0 is never."""

    pid = _Cell(0, "Its process; 0 if the slot is free.")
    beat_at = _Cell(1, "When its main loop last turned; until it has begun, when it was forked.")
    has_begun = _Flag(2, "Whether it takes connections.")
    busy = _Cell(3, "How many of its threads have a request.")
    oldest_at = _Cell(4, "When its oldest running request began.")
    full_since = _Cell(5, "Since when all its threads have been busy and no request has ended.")
    waited_at = _Cell(6, "When a connection was last seen to wait while all threads were busy.")

    def __init__(self, cells: "memoryview[float] | None" = None) -> None:
        self.cells = cells or memoryview(bytearray(8 * _SLOT_CELLS)).cast("d")

    def clear(self) -> None:
        """Frees it."""
        for index in range(_SLOT_CELLS):
            self.cells[index] = 0.0


class Scoreboard:
    """The memory that is shared by all processes forked after its creation."""

    draining = _Flag(0, "Whether the instance is about to stop.")
    started = _Flag(1, "Whether the startup probe has held once.")
    finished_at = _Cell(2, "When an application worker last finished a request; 0 if never.")
    began_at = _Cell(3, "When the instance began, since the arbiter creates it at its start.")
    replaced_at = _Cell(4, "When a worker was first replaced since a request was last finished.")
    _slots_used = _Cell(5, "How many slots have ever been used.")

    def __init__(self) -> None:
        size = 8 * (_HEADER_CELLS + _SLOTS * _SLOT_CELLS)
        self.cells: memoryview[float] = memoryview(mmap.mmap(-1, size)).cast("d")
        self.began_at = time.monotonic()

    def new_slot(self, now: float) -> Slot:
        """Reserves a slot for a worker that is about to be forked. Only the arbiter calls it. If no
        slot is free, it returns one that no other process sees."""
        for number in range(_SLOTS):
            slot = self._slot(number)
            if not slot.pid:
                slot.clear()
                slot.pid, slot.beat_at = -1, now
                self._slots_used = max(self._slots_used, number + 1)
                return slot
        return Slot()

    def keep(self, pids: Container[float]) -> None:
        """Frees all slots but those of these processes, also that of a worker whose fork failed."""
        for slot in self.slots():
            if slot.pid not in pids:
                slot.clear()

    def slots(self) -> list[Slot]:
        """The slots in use, one for each application worker."""
        slots = map(self._slot, range(int(self._slots_used)))
        return [slot for slot in slots if slot.pid]

    def _slot(self, number: int) -> Slot:
        start = _HEADER_CELLS + number * _SLOT_CELLS
        return Slot(self.cells[start : start + _SLOT_CELLS])


scoreboard = Scoreboard()
"""This instance's. It must exist before the workers are forked, so it lives here."""
