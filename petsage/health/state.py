"""One check of a monitor: its newest result, and the one run of it that may be under way."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from petsage.checks import Check, Result
from petsage.health.history import History
from petsage.health.outcome import RunOutcome
from petsage.health.report import Limits


@dataclass(slots=True, eq=False)
class CheckRun:
    """A run that is under way, or that begins when the run before it returns."""

    began: float
    """When it began; until it has, when the run before it did."""
    done: threading.Event = field(default_factory=threading.Event)
    """Set when its result is known: it has returned, or it or the run before has timed out."""


@dataclass(slots=True, eq=False)
class CheckState:
    """What a monitor knows of one check. All methods but the first need the monitor's lock."""

    check: Check
    history: History
    work: Callable[["CheckState", CheckRun], None]
    """Runs the check, in the thread that it is called in."""
    result: Result | None = None
    """The newest."""
    run: CheckRun | None = None
    """The run under way. There is never a second one beside it."""
    next: CheckRun | None = None
    """The run that begins when `run` returns."""

    def fresh_result(self, now: float, fresh_seconds: float) -> Result | None:
        """The result if it is fresh, and no run has hung since. It needs no lock.

        `fresh_seconds` are the probe's. An age below zero is left to `decide`: a result has just
        come, or the clock was set back.
        """
        result, run = self.result, self.run
        if result is None or not 0 <= (age := now - result.at) < fresh_seconds:
            return None
        if run and now >= run.began + self.check.timeout_seconds and not run.done.is_set():
            return None
        return result if age < self.check.fresh_seconds else None

    def decide(self, now: float, limits: Limits) -> CheckRun | None:
        """Decides once how old a result may be, and begins a run if one is due.

        Returns the run that the report has to wait for, or None if the result can be used. Fresh is
        used as it is; up to `stale_seconds` it is used while a run refreshes it; past that the
        report waits for the run. With 0 fresh seconds nothing is reused: the report waits for a run
        that begins after the ask. The limits are the check's own, cut to those of the probe.
        """
        self.expire(now)
        if self.run and self.run.done.is_set():
            return None  # it hangs, and the result says so
        if self.result and self.result.at > now:
            self.result = None  # the clock was set back: nobody knows how old it is
        age = now - self.result.at if self.result else math.inf
        fresh_seconds = min(self.check.fresh_seconds, limits.fresh_seconds)
        if age < fresh_seconds:
            return None
        reused = fresh_seconds > 0
        run = self._due(now, reused)
        stale_seconds = min(self.check.stale_seconds, limits.stale_seconds)
        return None if reused and age <= stale_seconds else run

    def reported(self, run: CheckRun | None, now: float, deadline: float) -> Result:
        """The newest result, unless the report needed this run's and it has not come by now."""
        self.expire(now)
        if self.result and (run is None or run.done.is_set()):
            return self.result
        miss = self._result(now, deadline, RunOutcome(f"no result within {deadline:g} s"))
        self.history.notice(miss)
        return miss

    def _due(self, now: float, reused: bool) -> CheckRun | None:
        """The run that brings the next result: the one under way, or else one that begins now.

        With `reused` False it is one that begins after `now`: all who ask while another is under
        way share the run after it. None if no thread can be started.
        """
        if not self.run:
            return self._begin(now)
        if reused:
            return self.run
        self.next = self.next or CheckRun(self.run.began)
        return self.next

    def _begin(self, now: float) -> CheckRun | None:
        run, name = CheckRun(now), f"check {self.check.name}"
        thread = threading.Thread(target=self.work, args=(self, run), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left
            self._record(now, 0.0, RunOutcome("no thread could be started"))
            return None
        self.run = run
        return run

    def take(self, run: CheckRun, outcome: RunOutcome, now: float) -> CheckRun | None:
        """Takes what the run under way has said, and returns the next run.

        Of a run that has timed out nothing counts, but the log says what it raised.
        """
        self.expire(now)
        if run.done.is_set():
            self.history.explain(self.check.name, outcome)
        else:
            self._record(now, now - run.began, outcome)
        self.run, self.next = self.next, None
        if self.run:
            self.run.began = now
        run.done.set()  # before the log is written: a log that blocks must not hold who waits
        return self.run

    def expire(self, now: float) -> None:
        """Gives up the run under way if it has taken too long."""
        run, timeout = self.run, self.check.timeout_seconds
        if not run or run.done.is_set():
            return
        run.began = min(run.began, now)  # if the clock was set back, its time begins again
        if now < run.began + timeout:
            return
        self._record(now, timeout, RunOutcome(f"timed out after {timeout:g} s"))
        for one in filter(None, (run, self.next)):
            one.done.set()
        self.next = None

    def forget_runs(self) -> None:
        """After a fork: no thread but the one that forked lives on in the child (fork(2))."""
        self.run = self.next = None

    def _record(self, now: float, seconds: float, outcome: RunOutcome) -> None:
        self.result = self._result(now, seconds, outcome)
        self.history.record(self.result, outcome)

    def _result(self, now: float, seconds: float, outcome: RunOutcome) -> Result:
        status = outcome.status(self.check)
        return Result(self.check.name, status, outcome.reason, now, seconds, outcome.value)
