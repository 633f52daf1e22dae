"""The status page's content: what an instance knows of itself."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from petsage.checks import Result, Status, Value, worst
from petsage.health.history import RESULTS, Change
from petsage.health.report import ALL, Report, condition_result
from petsage.health.service import Health
from petsage.management.ledger import Entry, Ledger

MANAGED = ("live", "ready", "startup")
"""The probes that the management listener answers."""


@dataclass(frozen=True, slots=True)
class Row:
    """A check, or what PetSage itself tells of the instance."""

    name: str
    status: Status
    reason: str
    status_seconds: float | None
    """How long it has had this status, if that is known."""
    age_seconds: float
    duration_seconds: float
    value: Value | None
    results: tuple[Result, ...]
    """The last ones, the newest at the end; a condition has none."""


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the page shows."""

    status: Status
    at: float
    """When it was made, in the clock's seconds, as are all moments here."""
    zero: datetime
    """The time of day at the clock's zero."""
    release: str
    instance: str
    uptime_seconds: float
    """Since the arbiter began: a worker that is replaced is no restart, nor is a SIGHUP."""
    finished_seconds: float | None
    """How long ago a worker last finished a request; None if never."""
    draining: bool
    probes: dict[str, Status]
    """What each probe would be told."""
    checks: tuple[Row, ...]
    """In the order of their declaration: a row that moved would take the reader's place along."""
    changes: tuple[Change, ...]
    ledger: tuple[Entry, ...]
    since: float
    """Since when all this is remembered: the memory is the probe worker's, and ends with it."""

    def time(self, at: float) -> datetime:
        """The time of day at this moment of the clock."""
        return self.zero + timedelta(seconds=at)

    def named(self, status: str) -> list[str]:
        """The names of the checks that have this status."""
        return [row.name for row in self.checks if row.status == status]


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
        zero=datetime.fromtimestamp(wall_clock, UTC) - timedelta(seconds=now),
        release=health.config.release,
        instance=health.config.instance,
        uptime_seconds=now - scoreboard.began_at,
        finished_seconds=max(0.0, now - scoreboard.finished_at) if scoreboard.finished_at else None,
        draining=scoreboard.draining,
        probes={probe: _verdict(health, probe, report) for probe in MANAGED},
        checks=tuple(_row(health, result, now) for result in report.results),
        changes=health.monitor.changes(),
        ledger=ledger.entries(),
        since=ledger.since,
    )


def _verdict(health: Health, probe: str, report: Report) -> Status:
    """What a probe would get: of checks what is in the report, of a condition what it says to this
    probe. To look at it must not latch the startup."""
    if probe == "startup" and health.scoreboard.started:
        return Status.PASS
    results = {result.name: result for result in report.results}
    for name, reasons in report.conditions.items():
        if probe in reasons:
            results[name] = condition_result(name, reasons, probe, report.at)
    return worst(results[name].status for name in health.monitor.names(probe))


def _row(health: Health, result: Result, now: float) -> Row:
    past = health.monitor.past(result.name)
    return Row(
        result.name,
        result.status,
        result.reason,
        max(0.0, now - past.since) if past.since and past.status is result.status else None,
        max(0.0, now - result.at),
        result.duration_seconds,
        result.value,
        past.results,
    )


_STEP, _WIDTH, _HALF = 4, 3, 12  # of a picture, in pixels


def bars(results: tuple[Result, ...]) -> dict[Status, str]:
    """An SVG path for each status that occurs: a bar for each result, the newest at the right.

    A pass stands, the higher the longer it took, compared with the others; all else hangs.
    """
    slowest = max((r.duration_seconds for r in results), default=0.0) or 1.0
    paths: dict[Status, list[str]] = {}
    for x, result in enumerate(results, RESULTS - len(results)):
        height = _height(result.status, result.duration_seconds / slowest)
        path = f"M{x * _STEP} {_HALF}h{_WIDTH}v{height}h-{_WIDTH}z"
        paths.setdefault(result.status, []).append(path)
    return {status: "".join(path) for status, path in paths.items()}


def _height(status: Status, share: float) -> int:
    if status is Status.PASS:
        return -max(2, round(_HALF * share))
    return _HALF if status is Status.FAIL else _HALF // 2


def counts(results: tuple[Result, ...]) -> str:
    """What the picture says, in words."""
    statuses = [result.status for result in results]
    told = (f"{statuses.count(s)} {s.value}" for s in Status if s in statuses)
    return f"Last {len(results)} results: {', '.join(told)}"


def span(seconds: float) -> str:
    """A duration as a person says it: `0.4 ms`, `2.5 s`, `3 min 20 s`, `2 d 4 h`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for size, unit, small_size, small_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if round(seconds) >= size:
            large, rest = divmod(round(seconds), size)
            return f"{large} {unit} {rest // small_size} {small_unit}"
    return f"{seconds:.0f} s"
