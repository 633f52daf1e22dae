"""What has happened to the checks of an instance, in memory that does not grow."""

import logging
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from petsage.checks import Result, Status
from petsage.health.outcome import RunOutcome

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

    def line(self) -> tuple[int, str]:
        """How it is logged: the level, and the line."""
        result = self.result
        level = logging.INFO if result.status is Status.PASS else logging.WARNING
        was = f"{self.was} for {self.held_seconds:.1f} s" if self.was else "not known"
        reason = f": {result.reason}" if result.reason else ""
        return level, f"check {self.name}: {result.status} (was {was}){reason}"


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered of one check."""

    results: tuple[Result, ...] = ()
    """Its last results, the newest at the end."""
    runs: Mapping[Status, int] = field(default_factory=dict)
    """How many of its runs had each status."""
    status_start: Result | None = None
    """The result with which its present status began; None if there was none yet."""


class History:
    """The last results and changes. It has no lock: whoever writes to it holds the monitor's."""

    def __init__(self, names: Iterable[str]) -> None:
        """`names` are those of the checks that run."""
        self._results: dict[str, deque[Result]] = {n: deque(maxlen=RESULTS) for n in names}
        self._runs: dict[str, Counter[Status]] = {name: Counter() for name in self._results}
        self._status_starts: dict[str, Result] = {}
        self._explained: set[str] = set()
        self._changes: deque[Change] = deque(maxlen=CHANGES)
        self._unlogged: list[tuple[int, str]] = []

    def record(self, result: Result, outcome: RunOutcome) -> None:
        """Remembers the result of a run, and logs what the run raised."""
        self._results[result.name].append(result)
        self._runs[result.name][result.status] += 1
        self.notice(result)
        self.explain(result.name, outcome)

    def notice(self, result: Result) -> None:
        """Remembers a result if it is a change. A pass as the very first result is none."""
        if not self.is_change(result):
            self._status_starts.setdefault(result.name, result)
            return
        before = self._status_starts.get(result.name)
        held = result.at - before.at if before else 0.0
        change = Change(result.name, before.status if before else None, result, held)
        self._status_starts[result.name] = result
        self._explained.discard(result.name)
        self._changes.append(change)
        self._unlogged.append(change.line())

    def is_change(self, result: Result) -> bool:
        """Whether this status differs from the last one. A result that is older than the last one
        is no change, even if it arrives later."""
        before = self._status_starts.get(result.name)
        if before is None:
            return result.status is not Status.PASS
        return result.status is not before.status and result.at >= before.at

    def explain(self, name: str, outcome: RunOutcome) -> None:
        """Logs where an unexpected exception was raised: once for each change, even if the run had
        timed out before."""
        if outcome.frames and name not in self._explained:
            self._explained.add(name)
            self._unlogged.append((logging.WARNING, f"check {name} raised at {outcome.frames}"))
            self._unlogged.append((logging.DEBUG, f"check {name} raised: {outcome.message}"))

    def unlogged(self) -> list[tuple[int, str]]:
        """The lines to log that are new since the last call, each with its level."""
        lines, self._unlogged = self._unlogged, []
        return lines

    def past(self, name: str) -> Past:
        """What is remembered under this name."""
        results, runs = self._results.get(name, ()), self._runs.get(name, Counter())
        return Past(tuple(results), dict(runs), self._status_starts.get(name))

    def changes(self) -> tuple[Change, ...]:
        """The last changes, the newest first."""
        return tuple(reversed(self._changes))
