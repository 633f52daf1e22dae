"""Runs checks for a person, a container or a cron line: once, or until they hold."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from petsage.health.checks import Check, Status
from petsage.health.monitor import LIMITS, Clock, Limits, Monitor, Report, SystemClock

_AGAIN_SECONDS = 1.0


def run(
    checks: Iterable[Check],
    wait_seconds: float = 0,
    progress: Callable[[Report, float], None] = lambda _report, _left: None,
    clock: Clock | None = None,
) -> Report:
    """The report of all these checks, whatever their probes; each may take its own timeout.

    While it fails and `wait_seconds` are not over, `progress` is told the report and the seconds
    left, and a second later the checks run again.
    """
    clock = clock or SystemClock()
    asked = [replace(check, probes=frozenset({"smoke"})) for check in checks]
    slowest = max((check.timeout_seconds for check in asked), default=0.0)
    # No result is used twice.
    limits = Limits(deadline=slowest, fresh_at_most=0, stale_at_most=_AGAIN_SECONDS / 2)
    monitor = Monitor(asked, clock=clock, limits={**LIMITS, "smoke": limits})
    end = clock.now() + wait_seconds
    while True:
        report = monitor.report("smoke")
        left = end - clock.now()
        if report.status is not Status.FAIL or left <= 0:
            return report
        progress(report, left)
        clock.wait(threading.Event(), min(_AGAIN_SECONDS, left))
