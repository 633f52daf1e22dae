"""What a probe is told: a report, how old its results may be, and how long it may take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from petsage.checks import Result, Status, worst

ALL = "all"
"""Asks for everything, whatever its probes: no probe, but a look at the instance."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How old a result may be, and how long a report may take, for one probe. In seconds."""

    deadline: float
    fresh_at_most: float = float("inf")
    stale_at_most: float = float("inf")


# A kubelet gives up after 1 s by default; a person or a pipeline waits, and wants it from now.
_PROBE = Limits(deadline=0.8)
LIMITS = {
    "live": _PROBE,
    "ready": _PROBE,
    "startup": _PROBE,
    "smoke": Limits(deadline=5, fresh_at_most=1, stale_at_most=5),
    ALL: _PROBE,
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something that this process knows without asking: told at once, never stale."""

    name: str
    verdicts: Mapping[str, Callable[[], str]]
    """For each probe that it speaks in: returns what is unwell, or nothing. It never waits."""

    def result(self, probe: str, now: float) -> Result:
        reason = self._at_large() if probe == ALL else self.verdicts[probe]()
        return Result(self.name, Status.FAIL if reason else Status.PASS, reason, now, 0.0)

    def _at_large(self) -> str:
        """The first complaint, but that it has not started yet: that is a phase of every start."""
        reasons = (verdict() for probe, verdict in self.verdicts.items() if probe != "startup")
        return next(filter(None, reasons), "")


@dataclass(frozen=True, slots=True)
class Report:
    """The results of the checks that one probe asks for."""

    probe: str
    results: tuple[Result, ...]
    at: float
    """When it was made, in the clock's seconds."""

    @property
    def status(self) -> Status:
        """The worst status of the results."""
        return worst(result.status for result in self.results)

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the checks that fail."""
        return tuple(r.name for r in self.results if r.status is Status.FAIL)
