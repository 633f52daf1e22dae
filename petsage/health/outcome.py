"""What a run of a check says: what it returned or raised, as an outcome."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from numbers import Real

from petsage.checks import Check, CheckFailed, CheckWarns, Status, Value
from petsage.printable import one_line
from petsage.tracebacks import frames, whereabouts

_MAX_WRAPPERS = 50  # some objects, such as remote ones, have a `__wrapped__` without end


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What one run says of its check."""

    reason: str = ""
    """What is unwell; empty when all is well."""
    value: Value | None = None
    warns: bool = False
    """Whether it is a warn even if the check is critical."""
    frames: str = ""
    """Where an unexpected exception was raised."""
    message: str = ""
    """What that exception says: it may hold a secret."""

    def status(self, check: Check) -> Status:
        """How well the check is."""
        if not self.reason:
            return Status.PASS
        return Status.FAIL if check.critical and not self.warns else Status.WARN


def outcome_of(run: Callable[[], object]) -> RunOutcome:
    """Runs a check once."""
    try:
        return _judged(run)
    # SystemExit, KeyboardInterrupt and RecursionError too: a check must not end more than itself.
    except BaseException as error:
        package = _described(_package, run)
        where = _described(whereabouts, error, package) or "an exception that cannot be described"
        message = _described(one_line, error, 1000)
        return RunOutcome(one_line(f"raised {where}"), frames=frames(error), message=message)


def _described(describe: Callable[..., str], *what: object) -> str:
    """What `describe` returns; empty if it raises, as a check's own classes may."""
    with suppress(BaseException):
        return describe(*what)
    return ""


def _judged(run: Callable[[], object]) -> RunOutcome:
    try:
        returned = run()
    except CheckFailed as failure:
        reason = one_line(failure) or "failed"
        return RunOutcome(reason, Value.of(failure.value), isinstance(failure, CheckWarns))
    if returned is None or returned is True:
        return RunOutcome()
    if value := Value.of(returned):
        return RunOutcome(value=value)
    return RunOutcome("returned False" if returned is False else _refused(returned))


def _refused(returned: object) -> str:
    if inspect.iscoroutine(returned):
        returned.close()  # otherwise Python warns that nobody has awaited it
    kind = type(returned).__name__
    if isinstance(returned, Real | Decimal):
        kind += " that is NaN or too large"
    elif kind == "bool":  # another package's, such as numpy's
        kind += f" of {type(returned).__module__}, which is not True"
    return one_line(f"returned a {kind}: a check returns None, True or a number, or raises")


def _package(run: object) -> str:
    """The top-level package that a check's function belongs to."""
    for _ in range(_MAX_WRAPPERS):
        inner = run.func if isinstance(run, partial) else getattr(run, "__wrapped__", None)
        if not inner:
            break
        run = inner
    return str(getattr(run, "__module__", "")).partition(".")[0]
