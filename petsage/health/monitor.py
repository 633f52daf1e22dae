"""The monitor: owns the checks and their newest results, and makes reports."""

import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

from petsage.checks import Check, Result, Status
from petsage.clock import Clock, SystemClock
from petsage.errors import CheckError
from petsage.health.history import Change, History, Past
from petsage.health.outcome import outcome_of
from petsage.health.report import ALL, LIMITS, SCRAPE, Condition, Limits, Report, condition_result
from petsage.health.state import CheckRun, CheckState
from petsage.logs import enabled_logger


class Monitor:
    """Runs checks when somebody asks, and no more of them than the answer needs.

    A check has at most one run at a time, in a daemon thread: one that hangs costs that thread, and
    nothing else.

    Raises `CheckError` if a name is used twice.
    """

    def __init__(
        self,
        checks: Iterable[Check] = (),
        conditions: Iterable[Condition] = (),
        clock: Clock | None = None,
        limits: Mapping[str, Limits] = LIMITS,
    ) -> None:
        self.checks, conditions = tuple(checks), tuple(conditions)
        names = [*(c.name for c in conditions), *(check.name for check in self.checks)]
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            raise CheckError(f"check {twice[0]!r} is declared twice")
        self.clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._history = History(check.name for check in self.checks)
        for condition in conditions:  # it passes until it says otherwise
            self._history.notice(Result(condition.name, Status.PASS, "", self.clock.now(), 0.0))
        self._states = [CheckState(check, self._history, self._work) for check in self.checks]
        self._limits = limits
        self._conditions_of: dict[str, dict[str, Condition]] = {}
        self._states_of: dict[str, dict[str, CheckState]] = {}
        for probe in limits:
            known = (c for c in conditions if _asks_for(probe, c.probes))
            states = (state for state in self._states if _asks_for(probe, state.check.probes))
            self._conditions_of[probe] = {condition.name: condition for condition in known}
            self._states_of[probe] = {state.check.name: state for state in states}
        _after_fork(weakref.WeakMethod(self._forget_runs))

    def names(self, probe: str = ALL) -> tuple[str, ...]:
        """The names that a probe, `ALL` or `SCRAPE` asks for. Raises `KeyError` for another."""
        return (*self._conditions_of[probe], *self._states_of[probe])

    def report(self, probe: str, names: Collection[str] | None = None) -> Report:
        """What a probe gets now, within its deadline. `ALL` and `SCRAPE` stand in for a probe.

        `names` limits it to these checks and conditions. Raises `KeyError` for an unknown probe or
        name.
        """
        conditions, states = self._conditions_of[probe], self._states_of[probe]
        if names is not None:
            states = {name: states[name] for name in names if name not in conditions}
            conditions = {name: conditions[name] for name in names if name in conditions}
        now, limits = self.clock.now(), self._limits[probe]
        fresh = limits.fresh_seconds
        results = [r for state in states.values() if (r := state.fresh_result(now, fresh))]
        if len(results) < len(states):
            now, results = self._refreshed(states.values(), limits)
        if not conditions:
            return Report(probe, tuple(results), now, {})
        reasons = {name: condition.reasons() for name, condition in conditions.items()}
        noticed = [self._noticed(name, by_probe, probe, now) for name, by_probe in reasons.items()]
        return Report(probe, (*noticed, *results), now, reasons)

    def past(self, name: str) -> Past:
        """What is remembered of a check, or of a condition."""
        with self._lock:
            return self._history.past(name)

    def changes(self) -> tuple[Change, ...]:
        """The last changes of status, the newest first."""
        with self._lock:
            return self._history.changes()

    def _noticed(self, name: str, reasons: Mapping[str, str], probe: str, now: float) -> Result:
        """A condition as a result. It changes without a run, so each report looks for a change."""
        overall = condition_result(name, reasons, ALL, now)
        if self._history.is_change(overall):  # without the lock; `notice` looks again
            with self._logged():
                self._history.notice(overall)
        return condition_result(name, reasons, probe, now)

    def _refreshed(
        self, states: Iterable[CheckState], limits: Limits
    ) -> tuple[float, list[Result]]:
        """Begins the runs that are due, and waits for those whose results are needed.

        Returns the time when that was over, and a result for each check.
        """
        deadline = limits.deadline_seconds
        with self._logged():
            asked_at = self.clock.now()
            needed = [(state, state.decide(asked_at, limits)) for state in states]
        for state, run in needed:
            self._wait(run, asked_at + deadline, state.check.timeout_seconds)
        with self._logged():
            now = self.clock.now()
            return now, [state.reported(run, now, deadline) for state, run in needed]

    def _wait(self, run: CheckRun | None, end: float, timeout: float) -> None:
        """Waits until the run returns, or it or the run before it times out; or until `end`."""
        while run and not run.done.is_set():
            left = min(end, run.began + timeout) - self.clock.now()
            if left <= 0:
                return
            self.clock.wait(run.done, left)

    def _work(self, state: CheckState, run: CheckRun | None) -> None:
        """Runs a check in this thread, and again for as long as somebody waits for the next run."""
        while run:
            outcome = outcome_of(state.check.run)
            with self._logged():
                run = state.finish(run, outcome, self.clock.now())

    @contextmanager
    def _logged(self) -> Iterator[None]:
        """Holds the lock, and writes the log after that: a log that blocks must not keep the lock.

        Each process notices and logs a change for itself: the log line has the process's id.
        """
        with self._lock:
            yield
            lines = self._history.unlogged()
        for level, line in lines:
            enabled_logger("petsage.monitor").log(level, "%s", line)

    def _forget_runs(self) -> None:
        self._lock = threading.Lock()
        for state in self._states:
            state.forget_runs()


def _asks_for(probe: str, probes: Collection[str]) -> bool:
    """Whether a probe, `ALL` or `SCRAPE` asks for what has these probes."""
    if probe == SCRAPE:
        return set(probes) != {"smoke"}
    return probe in (ALL, *probes)


def _after_fork(method: "weakref.WeakMethod[Callable[[], None]]") -> None:
    def call() -> None:
        if bound := method():
            bound()

    os.register_at_fork(after_in_child=call)
