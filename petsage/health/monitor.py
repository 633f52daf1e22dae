"""The monitor: owns the checks and their latest results, and makes reports."""

import math
import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat

from petsage.checks import Check, Result, Status
from petsage.clock import Clock, SystemClock
from petsage.health.history import Change, History, Past, log_change
from petsage.health.outcome import Outcome, outcome_of
from petsage.health.report import ALL, LIMITS, SCRAPE, Condition, Limits, Report, condition_result

_NOTHING_RAISED = Outcome()


@dataclass(slots=True, eq=False)
class _Run:
    """A run of a check, or one that begins as soon as the run before it returns."""

    done: threading.Event
    """Set when its result is known: it has returned, or it or the run before has timed out."""
    began: float = 0.0
    overdue: bool = False


@dataclass(slots=True, eq=False)
class _Slot:
    """What the monitor knows of one check."""

    check: Check
    result: Result | None = None
    run: _Run | None = None
    """The run that has not returned. There is never a second one beside it."""
    next: _Run | None = None
    """The run that begins when `run` returns."""


@dataclass(frozen=True, slots=True)
class _Ask:
    """A check with the limits of the probe that asks for it."""

    slot: _Slot
    fresh: float
    stale: float

    @classmethod
    def of(cls, slot: _Slot, limits: Limits) -> "_Ask":
        fresh = min(slot.check.fresh_seconds, limits.fresh_at_most)
        stale = min(slot.check.stale_seconds, limits.stale_at_most)
        return cls(slot, fresh, stale)


@dataclass(frozen=True, slots=True)
class _Decision:
    """What is decided of a check at the moment of the ask, and not again."""

    slot: _Slot
    usable: Result | None = None
    """The result that may be reported, unless a newer one comes."""
    run: _Run | None = None
    """The run that the report waits for: none if a result is usable."""

    def result(self) -> Result | None:
        """The newest that is known and that this report may use. The lock must be held."""
        came = self.run is None or self.run.done.is_set()
        return (self.slot.result if came else None) or self.usable


@dataclass(frozen=True, slots=True)
class _Members:
    """What a probe asks for, by name."""

    conditions: Mapping[str, Condition]
    asks: Mapping[str, _Ask]

    @classmethod
    def of(
        cls, probe: str, limits: Limits, conditions: Iterable[Condition], slots: Iterable[_Slot]
    ) -> "_Members":
        known = {one.name: one for one in conditions if probe in (ALL, SCRAPE, *one.probes)}
        asked = (slot for slot in slots if _asks_for(probe, slot.check))
        return cls(known, {slot.check.name: _Ask.of(slot, limits) for slot in asked})

    def chosen(
        self, names: Collection[str] | None = None
    ) -> tuple[Collection[Condition], Collection[_Ask]]:
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
    """Runs checks when somebody asks, and never more of them than the answer needs.

    A result is used while it is fresh; while it is stale it is used and refreshed beside; past
    that a report waits for a new one, up to the probe's deadline. There is one run of a check at
    a time, in a daemon thread: a check that hangs costs that thread, and nothing else.

    Raises `ValueError` if a name is used twice.
    """

    def __init__(
        self,
        checks: Iterable[Check] = (),
        conditions: Iterable[Condition] = (),
        clock: Clock | None = None,
        limits: Mapping[str, Limits] = LIMITS,
    ) -> None:
        self.checks = tuple(checks)
        self.clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._unlogged: list[tuple[Change, Outcome]] = []
        self._history = History(check.name for check in self.checks)
        conditions = tuple(conditions)
        for one in conditions:  # well until it says otherwise
            self._history.seen(Result(one.name, Status.PASS, "", self.clock.now(), 0.0))
        _refuse_twice([*(one.name for one in conditions), *(check.name for check in self.checks)])
        slots = [_Slot(check) for check in self.checks]
        self._limits = limits
        self._members = {p: _Members.of(p, limits[p], conditions, slots) for p in limits}
        self._slots = tuple(slots)
        _after_fork(weakref.WeakMethod(self._forget_runs))

    def names(self, probe: str = ALL) -> tuple[str, ...]:
        """The names that a probe, `ALL` or `SCRAPE` asks for. Raises `KeyError` for another."""
        members = self._members[probe]
        return (*members.conditions, *members.asks)

    def report(self, probe: str, names: Collection[str] | None = None) -> Report:
        """What a probe is answered now, within its deadline; `ALL` and `SCRAPE` are asked alike.

        `names` limits it to these of its names. Raises `KeyError` for an unknown probe or name.
        """
        conditions, asks = self._members[probe].chosen(names)
        results = [ask.slot.result for ask in asks]
        # The clock is read after the results: an age below zero means that it was set back.
        now = self.clock.now()
        if not all(map(_is_settled, asks, results, repeat(now))):
            now, results = self._refreshed(asks, self._limits[probe].deadline)
        said = {one.name: one.reasons() for one in conditions}
        known = [self._known(name, reasons, probe, now) for name, reasons in said.items()]
        return Report(probe, (*known, *filter(None, results)), now, said)

    def past(self, name: str) -> Past:
        """What is remembered of a check, or of a condition."""
        with self._lock:
            return self._history.past(name)

    def changes(self) -> tuple[Change, ...]:
        """The last changes of status, the newest first."""
        with self._lock:
            return self._history.changes()

    def _known(self, name: str, reasons: Mapping[str, str], probe: str, now: float) -> Result:
        """A condition as a result. No run ends when it changes: that is noticed by an ask."""
        whole = condition_result(name, reasons, ALL, now)
        if self._history.is_change(whole):
            with self._logged():
                self._note(self._history.seen(whole))
        return condition_result(name, reasons, probe, now)

    def _refreshed(
        self, asks: Collection[_Ask], deadline: float
    ) -> tuple[float, list[Result | None]]:
        """Starts the runs that are due and waits for those whose results are needed; returns when
        that was over, and what came of it."""
        with self._logged():
            asked = self.clock.now()
            decisions = [self._decide(ask, asked) for ask in asks]
        for decision in decisions:
            self._wait(decision, asked + deadline)
        with self._logged():
            now = self.clock.now()  # with the lock held: the history takes nothing belated
            for decision in decisions:
                self._expire(decision.slot, now)
            return now, [one.result() or self._miss(one.slot, now, deadline) for one in decisions]

    def _decide(self, ask: _Ask, asked: float) -> _Decision:
        """Begins a run if one is due. The lock must be held."""
        slot = ask.slot
        self._expire(slot, asked)
        if slot.run and slot.run.overdue:
            return _Decision(slot, slot.result)
        if slot.result and slot.result.at > asked:
            slot.result = None  # the clock was set back: nobody can say how old it is
        age = asked - slot.result.at if slot.result else math.inf
        if age < ask.fresh:
            return _Decision(slot, slot.result)
        run = self._due(slot, asked, new=not ask.fresh)
        if run is None or (ask.fresh and age <= ask.stale):
            return _Decision(slot, slot.result)
        return _Decision(slot, run=run)

    def _due(self, slot: _Slot, now: float, new: bool) -> _Run | None:
        """The run under way, or with `new` the one after it; None if none can be started."""
        if not slot.run:
            return self._begin(slot, now)
        if new:
            slot.next = slot.next or _Run(threading.Event())
            return slot.next
        return slot.run

    def _wait(self, decision: _Decision, end: float) -> None:
        """Waits until the needed run has returned, or it or the one before it has timed out."""
        slot, run = decision.slot, decision.run
        while run and not run.done.is_set():
            with self._lock:
                under_way = slot.run if slot.run and run is slot.next else run
            until = min(end, under_way.began + slot.check.timeout_seconds)
            left = until - self.clock.now()
            if left <= 0:
                return
            self.clock.wait(under_way.done, left)

    def _begin(self, slot: _Slot, now: float) -> _Run | None:
        run = _Run(threading.Event(), now)
        name = f"check {slot.check.name}"
        thread = threading.Thread(target=self._work, args=(slot, run), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left
            self._record(slot, now, 0.0, Outcome("no thread could be started"))
            return None
        slot.run = run
        return run

    def _work(self, slot: _Slot, run: _Run | None) -> None:
        while run:
            outcome = outcome_of(slot.check.run)
            with self._logged():
                run = self._return(slot, run, outcome)

    def _return(self, slot: _Slot, run: _Run, outcome: Outcome) -> _Run | None:
        """Takes the outcome of a run, and begins the next one. The lock must be held."""
        now = self.clock.now()
        self._expire(slot, now)
        if not run.overdue:
            self._record(slot, now, now - run.began, outcome)
        slot.run, slot.next = slot.next, None
        if slot.run:
            slot.run.began = now
        run.done.set()  # before the log is written: a log that blocks must not hold who waits
        return slot.run

    def _expire(self, slot: _Slot, now: float) -> None:
        """Gives up the slot's run if it has taken too long. The lock must be held."""
        run, timeout = slot.run, slot.check.timeout_seconds
        if not run or run.overdue:
            return
        run.began = min(run.began, now)  # if the clock was set back, its time begins again
        if now >= run.began + timeout:
            run.overdue = True
            self._record(slot, now, timeout, Outcome(f"timed out after {timeout:g} s"))
            run.done.set()
            if slot.next:
                slot.next.done.set()
                slot.next = None

    def _record(self, slot: _Slot, now: float, duration: float, outcome: Outcome) -> None:
        check = slot.check
        status = outcome.status(check)
        slot.result = Result(check.name, status, outcome.reason, now, duration, outcome.value)
        self._note(self._history.ran(slot.result), outcome)

    def _miss(self, slot: _Slot, now: float, deadline: float) -> Result:
        """What is reported in place of a result that has not come in time."""
        outcome = Outcome(f"no result within {deadline:g} s")
        status = outcome.status(slot.check)
        result = Result(slot.check.name, status, outcome.reason, now, deadline)
        self._note(self._history.seen(result))
        return result

    def _note(self, change: Change | None, outcome: Outcome = _NOTHING_RAISED) -> None:
        if change:
            self._unlogged.append((change, outcome))

    @contextmanager
    def _logged(self) -> Iterator[None]:
        """Holds the lock, then logs the changes: a log that blocks must not hold the lock."""
        with self._lock:
            yield
            changes, self._unlogged = self._unlogged, []
        for change, outcome in changes:
            log_change(change, outcome)

    def _forget_runs(self) -> None:
        """No thread but the one that forked lives on in the child: fork(2)."""
        self._lock = threading.Lock()
        for slot in self._slots:
            slot.run = slot.next = None


def _after_fork(method: "weakref.WeakMethod[Callable[[], None]]") -> None:
    def call() -> None:
        if bound := method():
            bound()

    os.register_at_fork(after_in_child=call)


def _refuse_twice(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"check {name!r} is declared twice")


def _is_settled(ask: _Ask, result: Result | None, now: float) -> bool:
    """Whether a result is fresh, and no run has hung since: it is reported without the lock."""
    if result is None or not 0 <= now - result.at < ask.fresh:
        return False
    run = ask.slot.run
    return run is None or run.overdue or now < run.began + ask.slot.check.timeout_seconds
