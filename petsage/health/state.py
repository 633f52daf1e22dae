"""One check of a monitor: its newest result, and the one run of it that may be under way."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from petsage.checks import Check, Result
from petsage.health.history import History
from petsage.health.outcome import RunOutcome
from petsage.health.report import Limits


@dataclass(slots=True, eq=False)
class CheckRun:
    """A run that is under way, or that begins when the run before it returns."""

    done: threading.Event
    """Set when its result is known: it has returned, or it or the run before has timed out."""
    began: float = 0.0
    overdue: bool = False


class CheckState:
    """What a monitor knows of one check. Its methods need the monitor's lock."""

    def __init__(self, check: Check, history: History) -> None:
        self.check = check
        self.result: Result | None = None
        """The newest."""
        self.run: CheckRun | None = None
        """The run under way. There is never a second one beside it."""
        self.next: CheckRun | None = None
        """The run that begins when `run` returns."""
        self._history = history

    def begin(self, now: float, work: Callable[["CheckState", CheckRun], None]) -> CheckRun | None:
        """Begins a run: calls `work` in a thread. Returns None if no thread can be started."""
        run = CheckRun(threading.Event(), now)
        name = f"check {self.check.name}"
        thread = threading.Thread(target=work, args=(self, run), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left
            self._record(now, 0.0, RunOutcome("no thread could be started"))
            return None
        self.run = run
        return run

    def after_this(self) -> CheckRun:
        """The run after the one under way: all who ask meanwhile share it."""
        self.next = self.next or CheckRun(threading.Event())
        return self.next

    def take(self, run: CheckRun, outcome: RunOutcome, now: float) -> CheckRun | None:
        """Takes what the run under way has said, if it has not timed out; returns the next run."""
        self.expire(now)
        if not run.overdue:
            self._record(now, now - run.began, outcome)
        self.run, self.next = self.next, None
        if self.run:
            self.run.began = now
        run.done.set()  # before the log is written: a log that blocks must not hold who waits
        return self.run

    def expire(self, now: float) -> None:
        """Gives up the run under way if it has taken too long."""
        run, timeout = self.run, self.check.timeout_seconds
        if not run or run.overdue:
            return
        run.began = min(run.began, now)  # if the clock was set back, its time begins again
        if now < run.began + timeout:
            return
        run.overdue = True
        self._record(now, timeout, RunOutcome(f"timed out after {timeout:g} s"))
        for one in filter(None, (run, self.next)):
            one.done.set()
        self.next = None

    def forget_runs(self) -> None:
        """After a fork: no thread but the one that forked lives on in the child (fork(2))."""
        self.run = self.next = None

    def miss(self, now: float, deadline: float) -> Result:
        """What is reported in place of a result that has not come by a report's deadline."""
        outcome = RunOutcome(f"no result within {deadline:g} s")
        result = self._result(now, deadline, outcome)
        self._history.notice(result)
        return result

    def _record(self, now: float, seconds: float, outcome: RunOutcome) -> None:
        self.result = self._result(now, seconds, outcome)
        self._history.record(self.result, outcome)

    def _result(self, now: float, seconds: float, outcome: RunOutcome) -> Result:
        status = outcome.status(self.check)
        return Result(self.check.name, status, outcome.reason, now, seconds, outcome.value)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided of a check at the moment of the ask, and not again."""

    state: CheckState
    usable: Result | None = None
    """The result that may be reported, unless a newer one comes."""
    run: CheckRun | None = None
    """The run that the report waits for; none if a result is usable."""

    def result(self) -> Result | None:
        """The newest result that this report may use. It needs the monitor's lock."""
        came = self.run is None or self.run.done.is_set()
        return (self.state.result if came else None) or self.usable


@dataclass(frozen=True, slots=True)
class ProbeCheck:
    """A check with the limits of the probe that asks for it."""

    state: CheckState
    fresh_seconds: float
    stale_seconds: float

    @classmethod
    def of(cls, state: CheckState, limits: Limits) -> "ProbeCheck":
        """The check's own limits, cut to the probe's."""
        fresh = min(state.check.fresh_seconds, limits.fresh_seconds)
        return cls(state, fresh, min(state.check.stale_seconds, limits.stale_seconds))

    def fresh_result(self, now: float) -> Result | None:
        """The result if it is fresh, and no run has hung since. It needs no lock.

        An age below zero is left to `decide`: a result has just come, or the clock was set back.
        """
        result, run = self.state.result, self.state.run
        if result is None or not 0 <= now - result.at < self.fresh_seconds:
            return None
        hangs = run and not run.overdue and now >= run.began + self.state.check.timeout_seconds
        return None if hangs else result

    def decide(self, now: float, work: Callable[[CheckState, CheckRun], None]) -> Decision:
        """Decides once how old a result may be, and begins a run if one is due: with `work`.

        It needs the monitor's lock. Fresh is used as it is; up to `stale_seconds` it is used while
        a run refreshes it; past that the report waits for the run. With 0 fresh seconds nothing is
        reused: the report waits for a run that begins after the ask.
        """
        state = self.state
        state.expire(now)
        if state.run and state.run.overdue:
            return Decision(state, state.result)
        if state.result and state.result.at > now:
            state.result = None  # the clock was set back: nobody knows how old it is
        age = now - state.result.at if state.result else math.inf
        if age < self.fresh_seconds:
            return Decision(state, state.result)
        reused = self.fresh_seconds > 0
        if state.run:
            run: CheckRun | None = state.run if reused else state.after_this()
        else:
            run = state.begin(now, work)
        if run is None or (reused and age <= self.stale_seconds):
            return Decision(state, state.result)
        return Decision(state, run=run)
