"""What the status page shows: all that an instance knows of itself, at one moment."""

from dataclasses import dataclass
from datetime import UTC, datetime

from petsage.checks import Result, Status, worst
from petsage.health.history import Change
from petsage.health.report import ALL, Report, condition_result
from petsage.health.service import Health, Identity
from petsage.management.ledger import Entry, Ledger

MANAGED = ("live", "ready", "startup")
"""The probes that the management listener answers."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A check or a condition, as a row of the page."""

    result: Result
    status_seconds: float | None
    """How long it has had this status, if that is known."""
    age_seconds: float
    results: tuple[Result, ...]
    """The last ones, the newest at the end; a condition has none."""


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the page shows."""

    status: Status
    at: float
    """When it was made, in the clock's seconds, as are all moments here."""
    zero: float
    """The time of day at the clock's zero, in seconds since 1970."""
    identity: Identity
    uptime_seconds: float
    """Since the arbiter began: a worker that is replaced is no restart, but a reload is one."""
    finished_seconds: float | None
    """How long ago a worker last finished a request; None if never."""
    draining: bool
    probes: dict[str, Status]
    """What each probe would get."""
    checks: tuple[CheckRow, ...]
    """In the order of their declaration: if rows moved, a reader would lose the place."""
    changes: tuple[Change, ...]
    ledger: tuple[Entry, ...]
    since: float
    """Since when all this is remembered: the memory is the probe worker's, and ends with it."""

    def time(self, at: float) -> datetime:
        """The time of day at this moment of the clock."""
        return datetime.fromtimestamp(self.zero + at, UTC)

    def named(self, status: str) -> list[str]:
        """The names of the checks that have this status."""
        return [row.result.name for row in self.checks if row.result.status == status]


def overview(health: Health, ledger: Ledger, wall_clock: float) -> Overview:
    """Everything at once, within a probe's deadline.

    It asks every check, whatever its probes, but none more often than its freshness allows; it is
    no probe. `wall_clock` is the time of day now, in seconds since 1970.
    """
    report = health.monitor.report(ALL)
    now, scoreboard = report.at, health.scoreboard
    return Overview(
        status=report.status,
        at=now,
        zero=wall_clock - now,
        identity=health.identity,
        uptime_seconds=now - scoreboard.began_at,
        finished_seconds=max(0.0, now - scoreboard.finished_at) if scoreboard.finished_at else None,
        draining=scoreboard.draining,
        probes={probe: _probe_status(health, probe, report) for probe in MANAGED},
        checks=tuple(_row(health, result, now) for result in report.results),
        changes=health.monitor.changes(),
        ledger=ledger.entries(),
        since=ledger.since,
    )


def _probe_status(health: Health, probe: str, report: Report) -> Status:
    """What a probe would get: of checks what is in the report, of a condition what it says to this
    probe. Unlike the startup probe, the page does not latch the start."""
    if probe == "startup" and health.scoreboard.started:
        return Status.PASS
    results = {result.name: result for result in report.results}
    for name, reasons in (report.conditions or {}).items():
        if probe in reasons:
            results[name] = condition_result(name, reasons, probe, report.at)
    return worst(results[name].status for name in health.monitor.names(probe))


def _row(health: Health, result: Result, now: float) -> CheckRow:
    past = health.monitor.past(result.name)
    return CheckRow(
        result,
        max(0.0, now - past.since) if past.since and past.status is result.status else None,
        max(0.0, now - result.at),
        past.results,
    )
