"""What a probe gets: a report, how old its results may be, and how long it may take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from petsage.checks import PROBES, Result, Status, worst

ALL = "all"
"""Stands in for a probe: the status page asks for every check and condition."""

SCRAPE = "scrape"
"""Stands in for a probe: Prometheus asks for all but what only the smoke probe asks for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How old a result may be, and how long a report may take, for one probe. In seconds."""

    deadline_seconds: float
    fresh_seconds: float = float("inf")
    stale_seconds: float = float("inf")


# A kubelet gives up after 1 s by default. Whoever runs the smoke test waits, and wants new results.
LIMITS = {
    **dict.fromkeys((*PROBES, ALL, SCRAPE), Limits(deadline_seconds=0.8)),
    "smoke": Limits(deadline_seconds=5, fresh_seconds=1, stale_seconds=5),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that this process knows of itself without asking: it is never stale."""

    name: str
    probes: tuple[str, ...]
    """Which probes ask for it."""
    reasons: Callable[[], Mapping[str, str]]
    """Returns what is unwell for each of its probes; empty if all is well. It never waits."""


class Caution(str):
    """A reason for which a condition warns; it does not fail."""


def condition_result(name: str, reasons: Mapping[str, str], probe: str, now: float) -> Result:
    """A condition as the result that this probe gets.

    `ALL` and `SCRAPE` get the gravest reason of all probes but startup, which fails during every
    normal start.
    """
    if probe in reasons:
        reason = reasons[probe]
    else:
        unwell = (reason for asker, reason in reasons.items() if reason and asker != "startup")
        reason = min(unwell, key=lambda reason: isinstance(reason, Caution), default="")
    status = Status.WARN if isinstance(reason, Caution) else Status.FAIL
    return Result(name, status if reason else Status.PASS, reason, now, 0.0)


@dataclass(frozen=True, slots=True)
class Report:
    """The results of the checks that one probe asks for."""

    probe: str
    results: tuple[Result, ...]
    at: float
    """When it was made, in the clock's seconds."""
    conditions: Mapping[str, Mapping[str, str]]
    """What is unwell of each condition, for each of its probes."""
    latched: bool = False
    """Whether it passes whatever the results are: the startup probe after the start."""

    @property
    def status(self) -> Status:
        """The worst status of the results."""
        return Status.PASS if self.latched else worst(result.status for result in self.results)

    @property
    def failures(self) -> tuple[Result, ...]:
        """The results that fail this report."""
        fail = Status.FAIL
        return () if self.latched else tuple([r for r in self.results if r.status is fail])

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the checks that fail this report."""
        return tuple([result.name for result in self.failures])
