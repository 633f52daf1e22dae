"""What a check is, and what comes out of one."""

import enum
import re
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field

PROBES = ("live", "ready", "startup", "smoke")
"""Who asks: every probe there is."""

OWN_NAMES = ("drain", "workers")
"""What PetSage itself tells of an instance, beside the checks."""

SMOKE_TEST = "smoke_test"
"""PetSage's own feature, and the check of it."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
"""What a check may be named."""


class CheckFailed(Exception):
    """Raised by a check to say, in words that an operator may read, what is unwell.

    The message is shown in reports and logs, so it must hold no secret. Of any other exception
    only the class and the line that raised it are told.
    """


def whereabouts(error: BaseException) -> str:
    """The class of an exception, and the module and line that raised it: all that is told of one
    that nobody expected, since its message may hold a secret."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    name = type(error).__name__
    return (
        f"{name} ({trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno})" if trace else name
    )


class Status(enum.StrEnum):
    """How well something is, best first."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


_SEVERITY = {status: rank for rank, status in enumerate(Status)}


def worst(statuses: Iterable[Status]) -> Status:
    """The worst of some statuses; of none, `Status.PASS`."""
    return max(statuses, key=_SEVERITY.__getitem__, default=Status.PASS)


@dataclass(frozen=True, slots=True)
class Check:
    """A named callable that raises if something is unwell.

    Raises `ValueError`, naming the check, when it cannot mean what it says.
    """

    name: str
    """1 to 64 ASCII letters, digits, `_`, `.` and `-`: it becomes a piece of a URL."""

    run: Callable[[], object] = field(repr=False)
    """Returns if all is well, whatever it returns. It runs in a thread of its own, never twice at
    once, and may take its time: nobody waits longer than a probe's deadline."""

    probes: Set[str] = frozenset({"ready"})
    """Which probes ask for it: any of `PROBES`."""

    timeout_seconds: float = 2
    """A run that takes longer is a fail."""

    fresh_seconds: float = 5
    """A result younger than this is used as it is."""

    stale_seconds: float = 30
    """A result older than this is never used; between the two it is used while a refresh runs."""

    critical: bool = True
    """Whether it fails a report. If not, a failure is a warn."""

    external: bool = False
    """Whether it asks something outside this process. Such a check is refused for `live`: a
    restart does not mend a dependency."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "probes", frozenset(self.probes))
        if problem := self._problem():
            raise ValueError(f"check {self.name!r}: {problem}")

    def _problem(self) -> str | None:
        if not NAME.fullmatch(self.name):
            return "a name has 1 to 64 ASCII letters, digits, _ . and -, a letter or digit first"
        if self.name in OWN_NAMES:
            return "the name is PetSage's own"
        if unknown := sorted(self.probes - set(PROBES)):
            return f"unknown probe {unknown[0]!r}; the probes are {', '.join(PROBES)}"
        if self.external and "live" in self.probes:
            return "an external check cannot be in the live probe: a restart would not mend it"
        if not 0 < self.timeout_seconds <= 3600:
            return "timeout_seconds must be above 0 and at most 3600"
        if not (0 <= self.fresh_seconds <= self.stale_seconds and 1 <= self.stale_seconds <= 86400):
            return "it needs 0 <= fresh_seconds <= stale_seconds, and that from 1 to 86400"
        return None


@dataclass(frozen=True, slots=True)
class Result:
    """One outcome of one check."""

    name: str
    status: Status
    reason: str
    """What is unwell; empty when all is well."""
    at: float
    """When the run ended, in the clock's seconds."""
    duration_seconds: float
