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
    """When it began; as long as it waits for the run before it, when that one began."""
    done: threading.Event = field(default_factory=threading.Event)
    """Set when its result is known: when it returns or times out, or the run before times out."""


@dataclass(slots=True, eq=False)
class CheckState:
    """What a monitor knows of one check. All methods but the first need the monitor's lock."""

    check: Check
    history: History
    work: Callable[["CheckState", CheckRun], None]
    """Runs the check, in the thread that it is called in."""
    result: Result | None = None
    """The newest result."""
    run: CheckRun | None = None
    """The run under way. There is never a second one beside it."""
    next: CheckRun | None = None
    """The run that begins when `run` returns."""

    def fresh_result(self, now: float, fresh_seconds: float) -> Result | None:
        """The result if it is fresh, and no run has hung since. It reads each field once: no lock.

        `fresh_seconds` is the probe's. `decide` handles an age below zero: a result has just come,
        or the clock was set back.
        """
        result, run = self.result, self.run
        if result is None or not 0 <= (age := now - result.at) < fresh_seconds:
            return None
        if run and now >= run.began + self.check.timeout_seconds and not run.done.is_set():
            return None
        return result if age < self.check.fresh_seconds else None

    def decide(self, now: float, limits: Limits) -> CheckRun | None:
        """Decides once how old a result may be, and begins a run if one is due.

        Returns the run that the report has to wait for, or None if the result can be used. A fresh
        result is used as it is; up to `stale_seconds` it is used while a run refreshes it; past
        that the report waits for the run. With 0 fresh seconds no result is reused: the report
        waits for a run that begins after `now`. The lower of the check's and the probe's limits
        counts.
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
        may_reuse = fresh_seconds > 0
        run = self._due(now, may_reuse)
        stale_seconds = min(self.check.stale_seconds, limits.stale_seconds)
        return None if may_reuse and age <= stale_seconds else run

    def reported(self, run: CheckRun | None, now: float, deadline: float) -> Result:
        """The newest result, or, if that of `run` is needed and has not come, one that says so."""
        self.expire(now)
        if self.result and (run is None or run.done.is_set()):
            return self.result
        miss = self._result(now, deadline, RunOutcome(f"no result within {deadline:g} s"))
        self.history.notice(miss)
        return miss

    def _due(self, now: float, may_reuse: bool) -> CheckRun | None:
        """The run with the next result: the one under way, or else one that begins now.

        With `may_reuse` False it is one that begins after `now`: all who ask while another is under
        way share the run after it. None if no thread can be started.
        """
        if not self.run:
            return self._begin(now)
        if may_reuse:
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

    def finish(self, run: CheckRun, outcome: RunOutcome, now: float) -> CheckRun | None:
        """Ends the run under way with its outcome, and returns the next run.

        The outcome of a run that has timed out does not count; only the log says what it raised.
        """
        self.expire(now)
        if run.done.is_set():
            self.history.explain(self.check.name, outcome)
        else:
            self._record(now, now - run.began, outcome)
        self.run, self.next = self.next, None
        if self.run:
            self.run.began = now
        run.done.set()  # before the log is written: if that blocks, nobody else must wait
        return self.run

    def expire(self, now: float) -> None:
        """Gives up the run under way if it has taken too long."""
        run, timeout = self.run, self.check.timeout_seconds
        if not run or run.done.is_set():
            return
        run.began = min(run.began, now)  # if the clock was set back, its timeout begins again
        if now < run.began + timeout:
            return
        self._record(now, timeout, RunOutcome(f"timed out after {timeout:g} s"))
        for ended in filter(None, (run, self.next)):
            ended.done.set()
        self.next = None

    def forget_runs(self) -> None:
        """After a fork: in the child only the thread that forked lives on (fork(2))."""
        self.run = self.next = None

    def _record(self, now: float, seconds: float, outcome: RunOutcome) -> None:
        self.result = self._result(now, seconds, outcome)
        self.history.record(self.result, outcome)

    def _result(self, now: float, seconds: float, outcome: RunOutcome) -> Result:
        status = outcome.status(self.check)
        return Result(self.check.name, status, outcome.reason, now, seconds, outcome.value)
