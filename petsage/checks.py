"""What a check is, and what its result is."""

import enum
import inspect
import math
import re
from collections.abc import Callable, Collection, Iterable, Set
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from numbers import Real
from types import FunctionType, MethodType
from typing import Any

from petsage.errors import CheckError
from petsage.printable import one_line

PROBES = ("live", "ready", "startup", "smoke")
"""Who asks: every probe there is."""

OWN_NAMES = ("drain", "workers")
"""The names of the conditions: no check may have one of them."""

UNIT = re.compile(r"(?:[!-~](?:[ -~]{0,18}[!-~])?)?")
"""What the unit of a value may be."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
"""What a check may be named."""


@dataclass(frozen=True, slots=True)
class Value:
    """A number that a check has observed.

    Raises `ValueError` for what is no finite number, or no unit.
    """

    number: float
    unit: str = ""
    """1 to 20 printable ASCII characters, such as `messages` or `%`; empty if it has none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", _finite(self.number))
        if not (isinstance(self.unit, str) and UNIT.fullmatch(self.unit)):
            raise ValueError("a unit must have 1 to 20 printable ASCII characters")

    @classmethod
    def of(cls, observed: Any) -> "Value | None":
        """A number, or a `Value`, as a value; of anything else None."""
        try:
            return observed if isinstance(observed, cls) else cls(observed)
        except Exception:
            return None

    def __str__(self) -> str:
        return f"{self.number:.15g} {self.unit}".rstrip()


def _finite(number: Any) -> float:
    with suppress(Exception):  # an application's class of numbers may raise anything
        is_number = isinstance(number, Real | Decimal) and not isinstance(number, bool)
        if is_number and math.isfinite(exact := float(number)):
            return exact
    raise ValueError("a value must be a finite number that fits a float, and no bool")


class CheckFailed(Exception):
    """Raised by a check to say, in words that an operator may read, what is unwell.

    It becomes a fail, or a warn if the check is not critical. The message is shown in reports and
    logs, so it must hold no secret. `value` is what was observed: a number or a `Value`.
    """

    value: "Value | float | None" = None

    def __init__(self, *args: object, value: "Value | float | None" = None) -> None:
        super().__init__(*args)
        self.value = value


class CheckWarns(CheckFailed):
    """Raised by a check to warn, whether it is critical or not: so one check has two levels."""


class Status(enum.StrEnum):
    """How well something is, best first."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


_SEVERITY = {status: rank for rank, status in enumerate(Status)}


def worst(statuses: Iterable[Status]) -> Status:
    """The worst status of all; of none, `Status.PASS`."""
    return max(statuses, key=_SEVERITY.__getitem__, default=Status.PASS)


@dataclass(frozen=True, slots=True)
class Check:
    """A named callable that says whether something is well.

    Raises `CheckError`, a `ValueError` with the name of the check, if a field is not valid.
    """

    name: str
    """1 to 64 ASCII letters, digits, `_`, `.` and `-`: it becomes a piece of a URL."""

    run: Callable[[], object] = field(repr=False)
    """Returns None, True, a number or a `Value` if all is well. Returns False, or raises, if not:
    `CheckFailed` or `CheckWarns` with the reason. Anything else that it returns is a fail. It runs
    in a thread of its own, never twice at once, and may take its time: nobody waits longer than a
    probe's deadline."""

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
        if problem := self._problem():
            raise CheckError(f"check {one_line(repr(self.name), 80)}: {problem}")
        object.__setattr__(self, "probes", frozenset(self.probes))

    def _problem(self) -> str | None:
        if not (isinstance(self.name, str) and NAME.fullmatch(self.name)):
            return "a name must be 1 to 64 ASCII letters, digits, _ . or -, a letter or digit first"
        if self.name in OWN_NAMES:
            return "the name is PetSage's own"
        if problem := _not_callable(self.run) or self._wrong_type():
            return problem
        if self.external and "live" in self.probes:
            return "an external check cannot be in the live probe: a restart would not mend it"
        if not 0 < self.timeout_seconds <= 3600:
            return "timeout_seconds must be above 0 and at most 3600"
        if not (0 <= self.fresh_seconds <= self.stale_seconds and 1 <= self.stale_seconds <= 86400):
            return "it needs 0 <= fresh_seconds <= stale_seconds, 1 <= stale_seconds <= 86400"
        return None

    def _wrong_type(self) -> str | None:
        if isinstance(self.probes, str | bytes) or not isinstance(self.probes, Collection):
            return f"probes must be a set of some of {', '.join(PROBES)}"
        if unknown := sorted(repr(probe) for probe in self.probes if probe not in PROBES):
            return f"unknown probe {one_line(unknown[0], 80)}; the probes are {', '.join(PROBES)}"
        for option in ("timeout_seconds", "fresh_seconds", "stale_seconds"):
            if not isinstance(getattr(self, option), int | float):
                return f"{option} must be a number"
        if not (isinstance(self.critical, bool) and isinstance(self.external, bool)):
            return "critical and external must be True or False"
        return None


def _not_callable(run: object) -> str | None:
    """Why this cannot be the run of a check; None if it can."""
    wrapped = run
    while isinstance(wrapped, partial):
        wrapped = wrapped.func
    for called in (wrapped, getattr(type(wrapped), "__call__", None)):  # noqa: B004
        if inspect.iscoroutinefunction(called):
            return "a check cannot be async: nobody would await it"
        if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
            return "a check cannot be a generator: nothing of it would run"
    if isinstance(wrapped, type):
        return "run must be a function, and not a class"
    if not callable(run) or _has_parameters(run):
        return "run must be a function without parameters"
    return None


def _has_parameters(run: Callable[..., object]) -> bool:
    """Whether it is a function that cannot be called without arguments."""
    try:
        if isinstance(run, FunctionType | MethodType):  # any other may have a signature of its own
            inspect.signature(run, follow_wrapped=False).bind()
    except TypeError:
        return True
    return False


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
    value: Value | None = None
    """What the run has observed, if it said so."""

    @property
    def words(self) -> str:
        """The value and the reason, as far as there are any."""
        return ": ".join(filter(None, (str(self.value or ""), self.reason)))
