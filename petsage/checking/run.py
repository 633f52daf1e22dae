"""Runs checks for a person, a container or a cron line: once, or until they hold."""

import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TextIO

from petsage.checks import Check, Status
from petsage.clock import Clock, SystemClock
from petsage.health.monitor import Monitor
from petsage.health.report import LIMITS, Limits, Report
from petsage.health.schemas import result_fields
from petsage.json_text import json_line

_PAUSE_SECONDS = 1.0


def run(
    checks: Iterable[Check],
    wait_seconds: float = 0,
    progress: Callable[[Report, float], None] = lambda _report, _left: None,
    clock: Clock | None = None,
) -> Report:
    """The report of all these checks, whatever their probes; each may take its own timeout.

    While it fails, the checks run again each second, for `wait_seconds` in all. `progress` is
    called before each pause, with the report and the seconds that are left.
    """
    clock = clock or SystemClock()
    asked = [replace(check, probes=frozenset({"smoke"})) for check in checks]
    slowest = max((check.timeout_seconds for check in asked), default=0.0)
    # No result is used twice.
    limits = Limits(deadline_seconds=slowest, fresh_seconds=0, stale_seconds=_PAUSE_SECONDS / 2)
    monitor = Monitor(asked, clock=clock, limits={**LIMITS, "smoke": limits})
    end = clock.now() + wait_seconds
    while True:
        report = monitor.report("smoke")
        left = end - clock.now()
        if report.status is not Status.FAIL or left <= 0:
            return report
        progress(report, left)
        clock.wait(threading.Event(), min(_PAUSE_SECONDS, left))


class Progress:
    """Shows on a terminal, in one line, which checks still fail; elsewhere it writes nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._written = False

    def __call__(self, report: Report, left: float) -> None:
        if self._stream.isatty():
            line = f"waiting {left:.0f} s for {', '.join(report.failed)}"
            self._write(line[: shutil.get_terminal_size().columns - 1])
            self._written = True

    def clear(self) -> None:
        """Empties the line, for the result."""
        if self._written:
            self._write("")

    def _write(self, line: str) -> None:
        self._stream.write(f"\r\x1b[K{line}")
        self._stream.flush()


def as_table(report: Report) -> str:
    """A line for each check: name, status, duration, its value, and the reason if not a pass."""
    width = max(len(result.name) for result in report.results)
    return "".join(
        f"{r.name:{width}}  {r.status}  {r.duration_seconds:6.3f} s  {r.words}".rstrip() + "\n"
        for r in report.results
    )


def as_json(report: Report) -> bytes:
    """The report as a JSON document, for machines."""
    checks = [{"name": result.name, **result_fields(result)} for result in report.results]
    return json_line({"status": report.status, "checks": checks})
