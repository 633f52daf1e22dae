"""What the status page shows: all that an instance knows of itself, at one moment."""

from typing import Any

from petsage.checks import Result, Status, worst
from petsage.health.report import ALL, Report, condition_result
from petsage.health.service import Health
from petsage.management.ledger import Ledger

ANSWERED_PROBES = ("live", "ready", "startup")
"""The probes that the management listener answers, and the page shows."""


def overview(health: Health, ledger: Ledger, wall_clock: float) -> dict[str, Any]:
    """Everything at once, within a probe's deadline; all moments are in the clock's seconds.

    It asks for every check, whatever its probes; a check does not run while its result is fresh.
    `wall_clock` is now, in seconds since 1970.
    """
    report = health.monitor.report(ALL)
    now, scoreboard = report.at, health.scoreboard
    finished_at = scoreboard.finished_at
    return {
        "status": report.status,
        "at": now,
        "offset": wall_clock - now,  # see `moment`
        "since": ledger.since,  # all of it is the probe worker's memory, and ends with it
        "release": health.identity.release,
        "instance": health.identity.instance,
        # Since the arbiter began: a worker that is replaced is no restart, but a reload is one.
        "uptime_seconds": now - scoreboard.began_at,
        "finished_seconds": max(0.0, now - finished_at) if finished_at else None,
        "draining": scoreboard.draining,
        "probes": {probe: _probe_status(health, probe, report) for probe in ANSWERED_PROBES},
        # In the order of declaration: if rows moved, readers would lose their place.
        "checks": [(result, _past(health, result, now)) for result in report.results],
        "changes": health.monitor.changes(),
        "ledger": ledger.entries(),
    }


def _probe_status(health: Health, probe: str, report: Report) -> Status:
    """What a probe would get: the results of the report, but for a condition what it says to this
    probe. Unlike the startup probe, the page does not latch the start."""
    if probe == "startup" and health.scoreboard.started:
        return Status.PASS
    results = {result.name: result for result in report.results}
    for name, reasons in report.conditions.items():
        results[name] = condition_result(name, reasons, probe, report.at)
    return worst(results[name].status for name in health.monitor.names(probe))


def _past(health: Health, result: Result, now: float) -> dict[str, Any]:
    """How long the result's status has held, if that is known; how old the result is; and the last
    results of its check, the newest at the end (a condition has none)."""
    past = health.monitor.past(result.name)
    start, status = past.status_start, result.status
    return {
        "status_seconds": max(0.0, now - start.at) if start and start.status is status else None,
        "age_seconds": max(0.0, now - result.at),
        "results": past.results,
    }
