"""Runs checks for a person, a container or a cron line: once, or until they hold."""

import os
import shutil
import threading
from collections.abc import Callable, Collection

import click

from petsage.checks import Check, Status
from petsage.clock import Clock, SystemClock
from petsage.health.monitor import Monitor
from petsage.health.report import ALL, Limits, Report
from petsage.health.schemas import result_fields
from petsage.json_text import json_line

_PAUSE_SECONDS = 1.0


def run(
    checks: Collection[Check],
    wait_seconds: float = 0,
    progress: Callable[[Report, float], None] = lambda _report, _left: None,
    clock: Clock | None = None,
) -> Report:
    """The report of all these checks, whatever their probes; each may take its own timeout.

    While the report fails, the checks run again each second, for `wait_seconds` in all. `progress`
    is called before each pause, with the report and the seconds that are left.
    """
    clock = clock or SystemClock()
    slowest = max((check.timeout_seconds for check in checks), default=0.0)
    limits = Limits(deadline_seconds=slowest, fresh_seconds=0)  # no result is used twice
    monitor = Monitor(checks, clock=clock, limits={ALL: limits})
    end = clock.now() + wait_seconds
    while True:
        report = monitor.report(ALL)
        left = end - clock.now()
        if report.status is not Status.FAIL or left <= 0:
            return report
        progress(report, left)
        clock.wait(threading.Event(), min(_PAUSE_SECONDS, left))


def show_progress(line: str) -> None:
    """Shows a line on the terminal in place of the last one. Without a terminal it does nothing."""
    if os.isatty(2):
        click.echo(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", nl=False, err=True)


def as_table(report: Report) -> str:
    """A line for each check: name, status, duration, and the value and the reason if any."""
    width = max(len(result.name) for result in report.results)
    return "".join(
        f"{r.name:{width}}  {r.status}  {r.duration_seconds:6.3f} s  {r.words}".rstrip() + "\n"
        for r in report.results
    )


def as_json(report: Report) -> bytes:
    """The report as a JSON document, for machines."""
    checks = [{"name": result.name, **result_fields(result)} for result in report.results]
    return json_line({"status": report.status, "checks": checks})
