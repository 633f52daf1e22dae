"""What has happened to the checks of an instance, in memory that does not grow."""

import logging
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from petsage.checks import Result, Status
from petsage.health.outcome import RunOutcome
from petsage.logs import enabled

RESULTS = 30
"""How many results of each check are kept."""

CHANGES = 50
"""How many changes are kept, of all checks together."""


@dataclass(frozen=True, slots=True)
class Change:
    """A status became another."""

    name: str
    was: Status | None
    """None if it was not known before."""
    result: Result
    held_seconds: float
    """How long the status before had held; 0 if it was not known."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered of one check."""

    results: tuple[Result, ...] = ()
    """Its last results, the newest at the end."""
    runs: Mapping[Status, int] = field(default_factory=dict)
    """How many of its runs had each status."""
    status: Status | None = None
    """The last that was reported; None if none was."""
    since: float | None = None
    """When that began, in the clock's seconds."""


class History:
    """The last results and changes. It has no lock: who writes to it holds the monitor's."""

    def __init__(self, names: Iterable[str]) -> None:
        """`names` are those of the checks that run."""
        self._results: dict[str, deque[Result]] = {n: deque(maxlen=RESULTS) for n in names}
        self._runs: dict[str, Counter[Status]] = {name: Counter() for name in self._results}
        self._standing: dict[str, Result] = {}
        self._changes: deque[Change] = deque(maxlen=CHANGES)
        self._unlogged: list[tuple[Change, RunOutcome]] = []

    def record(self, result: Result, outcome: RunOutcome) -> None:
        """Remembers the result of a run, and what the run said."""
        self._results[result.name].append(result)
        self._runs[result.name][result.status] += 1
        self.notice(result, outcome)

    def notice(self, result: Result, outcome: RunOutcome | None = None) -> None:
        """Remembers a result only if it is a change. A first pass is none."""
        before = self._standing.get(result.name)
        if not self.is_change(result):
            self._standing.setdefault(result.name, result)
            return
        self._standing[result.name] = result
        held = result.at - before.at if before else 0.0
        change = Change(result.name, before.status if before else None, result, held)
        self._changes.append(change)
        self._unlogged.append((change, outcome or RunOutcome()))

    def is_change(self, result: Result) -> bool:
        """Whether this status differs from the last one. A result that is older than the last one
        is no change, even if it arrives later."""
        before = self._standing.get(result.name)
        if before is None:
            return result.status is not Status.PASS
        return result.status is not before.status and result.at >= before.at

    def unlogged(self) -> list[tuple[Change, RunOutcome]]:
        """The changes since the last call, each with what the run said."""
        changes, self._unlogged = self._unlogged, []
        return changes

    def past(self, name: str) -> Past:
        """What is remembered under this name."""
        standing = self._standing.get(name)
        return Past(
            tuple(self._results.get(name, ())),
            dict(self._runs.get(name, {})),
            standing.status if standing else None,
            standing.at if standing else None,
        )

    def changes(self) -> tuple[Change, ...]:
        """The last changes, the newest first."""
        return tuple(reversed(self._changes))


def log_change(change: Change, outcome: RunOutcome) -> None:
    """Writes a change to the log, and where the exception was raised that is the reason of it.

    Each process finds a change out for itself, and logs it: the line has the process's id.
    """
    log, result = enabled("petsage.monitor"), change.result
    level = logging.INFO if result.status is Status.PASS else logging.WARNING
    was = f"{change.was} for {change.held_seconds:.1f} s" if change.was else "not known"
    reason = f": {result.reason}" if result.reason else ""
    log.log(level, "check %s: %s (was %s)%s", result.name, result.status, was, reason)
    if outcome.frames:
        log.warning("check %s raised at %s", result.name, outcome.frames)
        log.debug("check %s raised: %s", result.name, outcome.message)
