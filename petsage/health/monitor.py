"""The monitor: owns the checks and their newest results, and makes reports."""

import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from petsage.checks import Check, Result, Status
from petsage.clock import Clock, SystemClock
from petsage.health.history import Change, History, Past, log_change
from petsage.health.outcome import outcome_of
from petsage.health.report import ALL, LIMITS, SCRAPE, Condition, Limits, Report, condition_result
from petsage.health.state import CheckRun, CheckState, Decision, ProbeCheck


@dataclass(frozen=True, slots=True)
class _Members:
    """What a probe asks for, by name."""

    conditions: Mapping[str, Condition]
    asks: Mapping[str, ProbeCheck]

    @classmethod
    def of(
        cls,
        probe: str,
        limits: Limits,
        conditions: Iterable[Condition],
        states: Iterable[CheckState],
    ) -> "_Members":
        known = {one.name: one for one in conditions if probe in (ALL, SCRAPE, *one.probes)}
        asked = (state for state in states if _asks_for(probe, state.check))
        return cls(known, {state.check.name: ProbeCheck.of(state, limits) for state in asked})

    def chosen(
        self, names: Collection[str] | None = None
    ) -> tuple[Collection[Condition], Collection[ProbeCheck]]:
        """Those of these names, or all. Raises `KeyError` for a name that is unknown."""
        if names is None:
            return self.conditions.values(), self.asks.values()
        conditions = [self.conditions[name] for name in names if name in self.conditions]
        return conditions, [self.asks[name] for name in names if name not in self.conditions]


def _asks_for(probe: str, check: Check) -> bool:
    if probe == SCRAPE:
        return check.probes != {"smoke"}
    return probe in (ALL, *check.probes)


class Monitor:
    """Runs checks when somebody asks, and no more of them than the answer needs.

    A check has at most one run at a time, in a daemon thread: one that hangs costs that thread, and
    nothing else.

    Raises `ValueError` if a name is used twice.
    """

    def __init__(
        self,
        checks: Iterable[Check] = (),
        conditions: Iterable[Condition] = (),
        clock: Clock | None = None,
        limits: Mapping[str, Limits] = LIMITS,
    ) -> None:
        self.checks, conditions = tuple(checks), tuple(conditions)
        _refuse_twice([*(one.name for one in conditions), *(one.name for one in self.checks)])
        self.clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._history = History(check.name for check in self.checks)
        for one in conditions:  # well until it says otherwise
            self._history.notice(Result(one.name, Status.PASS, "", self.clock.now(), 0.0))
        self._states = tuple(CheckState(check, self._history) for check in self.checks)
        self._limits = limits
        self._members = {p: _Members.of(p, limits[p], conditions, self._states) for p in limits}
        _after_fork(weakref.WeakMethod(self._forget_runs))

    def names(self, probe: str = ALL) -> tuple[str, ...]:
        """The names that a probe, `ALL` or `SCRAPE` asks for. Raises `KeyError` for another."""
        members = self._members[probe]
        return (*members.conditions, *members.asks)

    def report(self, probe: str, names: Collection[str] | None = None) -> Report:
        """What a probe gets now, within its deadline; `ALL` and `SCRAPE` are asked for alike.

        `names` limits it to these of its names. Raises `KeyError` for an unknown probe or name.
        """
        conditions, asks = self._members[probe].chosen(names)
        now = self.clock.now()
        results = [result for ask in asks if (result := ask.fresh_result(now))]
        if len(results) < len(asks):
            now, results = self._refreshed(asks, self._limits[probe].deadline_seconds)
        if not conditions:
            return Report(probe, tuple(results), now)
        reasons = {one.name: one.reasons() for one in conditions}
        known = [self._known(name, said, probe, now) for name, said in reasons.items()]
        return Report(probe, (*known, *results), now, reasons)

    def past(self, name: str) -> Past:
        """What is remembered of a check, or of a condition."""
        with self._lock:
            return self._history.past(name)

    def changes(self) -> tuple[Change, ...]:
        """The last changes of status, the newest first."""
        with self._lock:
            return self._history.changes()

    def _known(self, name: str, reasons: Mapping[str, str], probe: str, now: float) -> Result:
        """A condition as a result. No run ends when it changes, so each ask looks for a change."""
        whole = condition_result(name, reasons, ALL, now)
        if self._history.is_change(whole):
            with self._logged():
                self._history.notice(whole)
        return condition_result(name, reasons, probe, now)

    def _refreshed(
        self, asks: Collection[ProbeCheck], deadline: float
    ) -> tuple[float, list[Result]]:
        """Begins the runs that are due, and waits for those whose results are needed.

        Returns when that was over, and a result for each ask.
        """
        with self._logged():
            asked = self.clock.now()
            decisions = [ask.decide(asked, self._work) for ask in asks]
        for decision in decisions:
            self._wait(decision, asked + deadline)
        with self._logged():
            now = self.clock.now()
            for decision in decisions:
                decision.state.expire(now)
            return now, [one.result() or one.state.miss(now, deadline) for one in decisions]

    def _wait(self, decision: Decision, end: float) -> None:
        """Waits until the needed run has returned, or it or the one before it has timed out."""
        state, run = decision.state, decision.run
        while run and not run.done.is_set():
            with self._lock:
                under_way = state.run if state.run and run is state.next else run
            until = min(end, under_way.began + state.check.timeout_seconds)
            left = until - self.clock.now()
            if left <= 0:
                return
            self.clock.wait(under_way.done, left)

    def _work(self, state: CheckState, first: CheckRun) -> None:
        """Runs a check in this thread, and again for as long as somebody waits for the next run."""
        run: CheckRun | None = first
        while run:
            outcome = outcome_of(state.check.run)
            with self._logged():
                run = state.take(run, outcome, self.clock.now())

    @contextmanager
    def _logged(self) -> Iterator[None]:
        """Holds the lock, then logs the changes: a log that blocks must not hold the lock."""
        with self._lock:
            yield
            changes = self._history.unlogged()
        for change, outcome in changes:
            log_change(change, outcome)

    def _forget_runs(self) -> None:
        self._lock = threading.Lock()
        for state in self._states:
            state.forget_runs()


def _after_fork(method: "weakref.WeakMethod[Callable[[], None]]") -> None:
    def call() -> None:
        if bound := method():
            bound()

    os.register_at_fork(after_in_child=call)


def _refuse_twice(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"check {name!r} is declared twice")
