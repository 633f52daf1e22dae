"""A worker all of whose threads are held: its stacks are logged, and it is replaced."""

import faulthandler
import logging
import os
import signal
import time
from contextlib import suppress
from typing import Any

from petsage.scoreboard import Slot, scoreboard

STACKS = signal.SIGRTMIN + 1
"""The signal on which a worker writes the stacks of its threads."""

_STACKS_SECONDS = 0.5


class Wedged:
    """Looks for wedged workers once a second.

    The arbiter looks up `murder_workers` on itself in its loop, so an attribute of that name on the
    arbiter replaces its method.
    """

    def __init__(self, server: Any, stuck_seconds: float) -> None:
        self._server = server
        self._stuck_seconds = stuck_seconds
        self._murder = server.murder_workers
        self._replaced: set[int] = set()
        self._stacks = os.memfd_create("petsage-stacks")  # a worker must not wait for the log

    def install(self) -> None:
        """Replaces the arbiter's method. From now on each worker that is forked can be asked."""
        if self._stuck_seconds:
            self._server.murder_workers = self.murder_workers
            faulthandler.register(STACKS, file=self._stacks, all_threads=True)

    def murder_workers(self) -> None:
        """Replaces those that are wedged, after those whose main loop hangs."""
        self._murder()
        now = time.monotonic()
        workers = {pid: getattr(one, "slot", Slot()) for pid, one in self._server.WORKERS.items()}
        wedged = {pid for pid, slot in workers.items() if self._is_wedged(slot, now)}
        self._replaced &= wedged
        for pid in wedged:
            self._replace(pid, workers[pid], now)

    def _is_wedged(self, slot: Slot, now: float) -> bool:
        """While nobody waits, long requests harm nobody."""
        since = slot.full_since
        return bool(since and now - since >= self._stuck_seconds and slot.waited_at >= since)

    def _replace(self, pid: int, slot: Slot, now: float) -> None:
        if pid in self._replaced:
            self._server.kill_worker(pid, signal.SIGKILL)
            return
        self._replaced.add(pid)
        if scoreboard.replaced_at <= scoreboard.finished_at:
            scoreboard.replaced_at = now
        self._log(
            f"Worker {pid} is replaced: all its threads are busy for {now - slot.full_since:.0f} s"
            " while connections wait",
            self._stacks_of(pid),
        )
        self._server.kill_worker(pid, signal.SIGQUIT)

    def _stacks_of(self, pid: int) -> str:
        """What the worker writes on the signal; nothing if it is stopped."""
        os.ftruncate(self._stacks, 0)
        os.lseek(self._stacks, 0, os.SEEK_SET)
        with suppress(ProcessLookupError):
            os.kill(pid, STACKS)
        deadline, size = time.monotonic() + _STACKS_SECONDS, 0
        while time.monotonic() < deadline:
            time.sleep(0.05)
            before, size = size, os.fstat(self._stacks).st_size
            if size and size == before:
                break
        return os.pread(self._stacks, size, 0).decode(errors="replace")

    def _log(self, event: str, stacks: str) -> None:
        log = self._server.log.error_log
        record = log.makeRecord(log.name, logging.ERROR, "", 0, event, (), None)
        record.stack_info = stacks
        log.handle(record)
