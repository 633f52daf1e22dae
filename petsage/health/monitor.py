"""The monitor: owns the checks and their latest results, and makes reports."""

import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from petsage.checks import Check, CheckFailed, Result, Status, whereabouts
from petsage.clock import Clock, SystemClock
from petsage.health.history import Change, History, Past, tell
from petsage.health.report import ALL, LIMITS, Evidence, Limits, Report
from petsage.printable import one_line


@dataclass(slots=True, eq=False)
class _Run:
    """A run of a check that has not returned."""

    started: float
    timeout: float
    done: threading.Event
    overdue: bool = False


@dataclass(slots=True, eq=False)
class _Slot:
    """What the monitor knows of one check."""

    check: Check
    result: Result | None = None
    run: _Run | None = None
    missed: Result | None = None
    """What was told in place of a result that `run` has not brought in time."""


@dataclass(frozen=True, slots=True)
class _Ask:
    """A check with the limits of the probe that asks for it."""

    slot: _Slot
    fresh: float
    stale: float
    deadline: float

    @classmethod
    def of(cls, slot: _Slot, limits: Limits) -> "_Ask":
        fresh = min(slot.check.fresh_seconds, limits.fresh_at_most)
        stale = min(slot.check.stale_seconds, limits.stale_at_most)
        return cls(slot, fresh, stale, limits.deadline)

    # An age may be a hair below zero, since `now` was read before another thread's result came.
    # Far below zero the clock has jumped, and the result is as worthless as an old one.

    def fresh_result(self, now: float) -> Result | None:
        """The result if it is fresh: it may be told without the lock."""
        result = self.slot.result
        return result if result is not None and abs(now - result.at) < self.fresh else None

    def usable(self, now: float, asked: float) -> Result | None:
        """The result that may be told: a young one, or one that came since the report was asked
        for, or that the run which still hangs has timed out. The lock must be held."""
        result, run = self.slot.result, self.slot.run
        if result is None:
            return None
        young = abs(now - result.at) <= self.stale or asked <= result.at <= now
        return result if young or (run and run.overdue) else None

    def result(self, now: float, asked: float) -> Result:
        """The same, or a failure. The lock must be held."""
        if result := self.usable(now, asked):
            return result
        check = self.slot.check
        reason = f"no result within {self.deadline:g} s"
        return Result(check.name, _status(check, reason), reason, now, self.deadline)


@dataclass(frozen=True, slots=True)
class _Members:
    """What a probe asks for, by name."""

    evidence: Mapping[str, Evidence]
    asks: Mapping[str, _Ask]

    @classmethod
    def of(
        cls, probe: str, limits: Limits, evidence: Iterable[Evidence], slots: Iterable[_Slot]
    ) -> "_Members":
        speak = {one.name: one for one in evidence if probe in (ALL, *one.verdicts)}
        asked = (slot for slot in slots if probe in (ALL, *slot.check.probes))
        return cls(speak, {slot.check.name: _Ask.of(slot, limits) for slot in asked})

    def chosen(
        self, names: Collection[str] | None = None
    ) -> tuple[Collection[Evidence], Collection[_Ask]]:
        """Those of these names, or all. Raises `KeyError` for a name that is unknown."""
        if names is None:
            return self.evidence.values(), self.asks.values()
        speak = [self.evidence[name] for name in names if name in self.evidence]
        return speak, [self.asks[name] for name in names if name not in self.evidence]


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
        evidence: Iterable[Evidence] = (),
        clock: Clock | None = None,
        limits: Mapping[str, Limits] = LIMITS,
    ) -> None:
        self.checks = tuple(checks)
        self.clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._untold: list[Change] = []
        self._history = History(check.name for check in self.checks)
        evidence = tuple(evidence)
        for one in evidence:  # well until it says otherwise
            self._history.seen(Result(one.name, Status.PASS, "", self.clock.now(), 0.0))
        _refuse_twice([*(one.name for one in evidence), *(check.name for check in self.checks)])
        slots = [_Slot(check) for check in self.checks]
        self._limits = limits
        self._members = {p: _Members.of(p, limits[p], evidence, slots) for p in limits}
        self._slots = tuple(slots)
        _after_fork(weakref.WeakMethod(self._forget_runs))

    def names(self, probe: str = ALL) -> tuple[str, ...]:
        """The names that `probe`, or `ALL`, asks for. Raises `KeyError` for an unknown probe."""
        members = self._members[probe]
        return (*members.evidence, *members.asks)

    def report(self, probe: str, names: Collection[str] | None = None) -> Report:
        """What `probe`, or who looks at `ALL`, should be told now, within its deadline.

        `names` limits it to these of its names. Raises `KeyError` for an unknown probe or name.
        """
        evidence, asks = self._members[probe].chosen(names)
        now = self.clock.now()
        results = [fresh for ask in asks if (fresh := ask.fresh_result(now))]
        if len(results) < len(asks):
            now, results = self._refreshed(asks, now, self._limits[probe].deadline)
        seen = [self._witness(one, probe, now) for one in evidence]
        return Report(probe, (*seen, *results), now)

    def known(self, probe: str = ALL) -> Report:
        """What is known without running anything: no result that is too old is in it, but the
        failure that was told since none came."""
        evidence, asks = self._members[probe].chosen()
        now = self.clock.now()
        seen = [one.result(probe, now) for one in evidence]
        with self._lock:
            usable = [
                ask.usable(now, now) or (ask.slot.missed if ask.slot.run else None) for ask in asks
            ]
        return Report(probe, (*seen, *filter(None, usable)), now)

    def past(self, name: str) -> Past:
        """What is remembered of a check, or of evidence."""
        with self._lock:
            return self._history.past(name)

    def changes(self) -> tuple[Change, ...]:
        """The last changes of status, the newest first."""
        with self._lock:
            return self._history.changes()

    def _witness(self, evidence: Evidence, probe: str, now: float) -> Result:
        """Evidence never runs: that it has changed is seen when somebody asks."""
        result = evidence.result(ALL, now)
        if self._history.is_change(result):
            with self._told():
                self._note(self._history.seen(result))
        return evidence.result(probe, now)

    def _refreshed(
        self, asks: Collection[_Ask], asked: float, deadline: float
    ) -> tuple[float, list[Result]]:
        """Starts the runs that are due and waits for those whose results are needed; returns when
        that was over, and what came of it."""
        with self._told():
            awaited = [run for ask in asks if (run := self._due(ask, asked))]
        for run in awaited:
            seconds = min(asked + deadline, run.started + run.timeout) - self.clock.now()
            self.clock.wait(run.done, max(0.0, seconds))
        with self._told():
            now = self.clock.now()  # with the lock held: the history takes nothing belated
            for ask in asks:
                self._expire(ask.slot, now)
            return now, [self._answer(ask, now, asked) for ask in asks]

    def _answer(self, ask: _Ask, now: float, asked: float) -> Result:
        result = ask.result(now, asked)
        if result is not ask.slot.result:
            ask.slot.missed = result
            self._note(self._history.seen(result))
        return result

    def _due(self, ask: _Ask, now: float) -> _Run | None:
        """Begins a run if one is due; returns the run that the report must wait for, if any."""
        slot = ask.slot
        self._expire(slot, now)
        if ask.fresh_result(now):
            return None
        run = slot.run or self._begin(slot, now)
        if run is None or run.overdue or ask.usable(now, now):
            return None
        return run

    def _begin(self, slot: _Slot, now: float) -> _Run | None:
        run = _Run(now, slot.check.timeout_seconds, threading.Event())
        name = f"check {slot.check.name}"
        thread = threading.Thread(target=self._work, args=(slot, run), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left
            self._record(slot, now, 0.0, "no thread could be started")
            return None
        slot.run = run
        return run

    def _work(self, slot: _Slot, run: _Run) -> None:
        reason = _outcome(slot.check.run)
        with self._told():
            now = self.clock.now()
            self._expire(slot, now)
            if not run.overdue:
                self._record(slot, now, now - run.started, reason)
            if slot.run is run:
                slot.run = None
            run.done.set()  # a log that blocks must not hold who waits

    def _expire(self, slot: _Slot, now: float) -> None:
        """Gives up the slot's run if it has taken too long."""
        run = slot.run
        if run and not run.overdue and abs(now - run.started) >= run.timeout:
            run.overdue = True
            self._record(slot, now, run.timeout, f"timed out after {run.timeout:g} s")

    def _record(self, slot: _Slot, now: float, duration: float, reason: str) -> None:
        status = _status(slot.check, reason)
        slot.result = Result(slot.check.name, status, reason, now, duration)
        slot.missed = None
        self._note(self._history.ran(slot.result))

    def _note(self, change: Change | None) -> None:
        if change:
            self._untold.append(change)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Holds the lock, then tells the changes: a log that blocks must not hold the lock."""
        with self._lock:
            yield
            changes, self._untold = self._untold, []
        for change in changes:
            tell(change)

    def _forget_runs(self) -> None:
        """No thread but the one that forked lives on in the child: fork(2)."""
        self._lock = threading.Lock()
        for slot in self._slots:
            slot.run = None


def _after_fork(method: "weakref.WeakMethod[Callable[[], None]]") -> None:
    def call() -> None:
        if bound := method():
            bound()

    os.register_at_fork(after_in_child=call)


def _refuse_twice(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"check {name!r} is declared twice")


def _status(check: Check, reason: str) -> Status:
    if not reason:
        return Status.PASS
    return Status.FAIL if check.critical else Status.WARN


def _outcome(run: Callable[[], object]) -> str:
    """Runs a check; returns why it is unwell, or nothing."""
    try:
        return _reason(run)
    # SystemExit, KeyboardInterrupt and RecursionError too: a check must not end more than itself.
    except BaseException as error:
        return f"raised {whereabouts(error)}"


def _reason(run: Callable[[], object]) -> str:
    try:
        run()
    except CheckFailed as failure:
        return one_line(str(failure)) or "failed"
    return ""
