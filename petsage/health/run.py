"""Runs checks for a person, a container or a cron line: once, or until they hold."""

import threading
from collections.abc import Callable, Collection

from petsage.checks import Check, Status
from petsage.clock import Clock, SystemClock
from petsage.health.monitor import Monitor
from petsage.health.report import ALL, Limits, Report

_PAUSE_SECONDS = 1.0


def run_checks(
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
