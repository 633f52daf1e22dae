"""What has happened to the checks of an instance, in memory that does not grow."""

import logging
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from petsage.checks import Result, Status
from petsage.health.outcome import Outcome

RESULTS = 30
"""How many results of each check are kept."""

CHANGES = 50
"""How many changes are kept, of all checks together."""

log = logging.getLogger("petsage.monitor")


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
    """How many of its runs came out how."""
    status: Status | None = None
    """The last that was told; None if none was."""
    since: float | None = None
    """When that began, in the clock's seconds."""


class History:
    """Whoever writes to it holds a lock of their own: it has none."""

    def __init__(self, names: Iterable[str]) -> None:
        """`names` are those of the checks that run."""
        self._results: dict[str, deque[Result]] = {n: deque(maxlen=RESULTS) for n in names}
        self._runs: dict[str, Counter[Status]] = {name: Counter() for name in self._results}
        self._standing: dict[str, Result] = {}
        self._changes: deque[Change] = deque(maxlen=CHANGES)

    def ran(self, result: Result) -> Change | None:
        """Remembers the outcome of a run."""
        self._results[result.name].append(result)
        self._runs[result.name][result.status] += 1
        return self.seen(result)

    def seen(self, result: Result) -> Change | None:
        """Remembers a change, if this is one. A first result is none if all is well."""
        before = self._standing.get(result.name)
        if not self.is_change(result):
            self._standing.setdefault(result.name, result)
            return None
        self._standing[result.name] = result
        change = Change(
            result.name,
            before.status if before else None,
            result,
            result.at - before.at if before else 0.0,
        )
        self._changes.append(change)
        return change

    def is_change(self, result: Result) -> bool:
        """Whether this status is another than the last one that was seen. What was found out
        before that one, and comes after it, is none."""
        before = self._standing.get(result.name)
        if before is None:
            return result.status is not Status.PASS
        return result.status is not before.status and result.at >= before.at

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


def log_change(change: Change, outcome: Outcome) -> None:
    """Writes a change to the log, and where the exception was raised that is the reason of it.

    Each process that is asked finds a change out for itself, and logs it: the line has the
    process's id.
    """
    result = change.result
    level = logging.INFO if result.status is Status.PASS else logging.WARNING
    was = f"{change.was} for {change.held_seconds:.1f} s" if change.was else "not known"
    reason = f": {result.reason}" if result.reason else ""
    log.log(level, "check %s: %s (was %s)%s", result.name, result.status, was, reason)
    if outcome.frames:
        log.warning("check %s raised at %s", result.name, outcome.frames)
        log.debug("check %s raised: %s", result.name, outcome.message)
