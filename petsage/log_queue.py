"""A log that never waits: a standard stream that nobody reads stops no process."""

import io
import logging
import os
import select
import signal
import threading
import time
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

MOST_RECORDS = 2000
"""So many wait to be written at most. More are dropped; later their number is logged."""

FLUSH_SECONDS = 1
"""How long an exit waits until what is queued is written."""

_STANDARD_ERROR = 2


class QueueHandler(logging.Handler):
    """Writes records to standard error in a thread of its own, one in each process."""

    def __init__(self) -> None:
        super().__init__()
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Also called in the child of a fork, which has no writer; the queued records are its
        parent's to write."""
        self._records: deque[tuple[int, bytes]] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()  # unlike an Event, signal handlers may use it
        self._dropped = 0
        self._has_writer = False

    def emit(self, record: logging.LogRecord) -> None:
        """Queues a record."""
        self.put(_STANDARD_ERROR, (self.format(record) + "\n").encode(errors="backslashreplace"))

    def stream(self, descriptor: int) -> io.TextIOWrapper:
        """A text stream to a descriptor, each line of which waits here in its turn."""
        raw = _QueuedStream(self, descriptor)
        return io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True)

    def put(self, descriptor: int, data: bytes) -> None:
        """Queues what is to be written to a descriptor."""
        if len(self._records) >= MOST_RECORDS:
            self._dropped += 1
            return
        self._records.append((descriptor, data))
        self._wake.put(None)
        if not self._has_writer:
            self._has_writer = self._start_writer()

    def flush(self) -> None:
        """Waits until all is written, for `FLUSH_SECONDS` at most."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while self._records and time.monotonic() < deadline:
            time.sleep(0.005)

    def _start_writer(self) -> bool:
        """Returns whether it runs. If the system has no thread left, the next record tries."""
        # Otherwise the kernel could deliver to it the signals that the main thread blocks.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            threading.Thread(target=self._write_all, name="log", daemon=True).start()
        except RuntimeError:
            return False
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return True

    def _write_all(self) -> None:
        while True:
            self._wake.get()
            _write(*self._records[0])
            self._records.popleft()
            if self._dropped and not self._records:
                dropped, self._dropped = self._dropped, 0
                text = "%d log records were dropped: nobody read them"
                level = logging.WARNING
                self.handle(logging.LogRecord("petsage.logs", level, "", 0, text, (dropped,), None))


class _QueuedStream(io.RawIOBase):
    """The raw end of a text stream: it queues what is written."""

    name = "log"

    def __init__(self, queue: QueueHandler, descriptor: int) -> None:
        self._queue = queue
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._queue.put(self._descriptor, bytes(data))
        return len(data)


def _write(descriptor: int, data: bytes) -> None:
    with suppress(OSError):  # it is closed, and there is nowhere to say so
        while data:
            select.select([], [descriptor], [])
            with suppress(BlockingIOError):  # another process made it non-blocking
                data = data[os.write(descriptor, data) :]
