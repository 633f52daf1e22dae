"""The monitor held against a model: whatever is asked, whenever, its reports are true and in time.

`MODEL_STEPS=10000 python -m pytest tests/health/test_monitor_model.py` takes that many steps.
"""

import itertools
import math
import os
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from petsage import Check, CheckFailed, Result
from petsage.health.monitor import Monitor
from petsage.health.report import LIMITS, Report
from tests.health.simulation import SimulatedClock

HAIR = 2**-10
TICK = 2**-22
CLOSE = HAIR / 4
"""Moments that differ by less count as the same: the ticks of one step add up to less."""

LIMITS_TRIED = (0, 0.25, 0.5, 1, 2, 5, 10, 30)
SECONDS = st.sampled_from(
    [0.0, 0.125, 819 / 1024, 820 / 1024, 3.0, 7.0, 60.0]
    + [max(0.0, limit + way) for limit in LIMITS_TRIED for way in (-HAIR, 0, HAIR)]
)
"""Ages at every limit, and a little below and above it."""

SHORT = st.sampled_from([0.0, HAIR, 0.125, 0.25, 0.5, 1.0, 2.0, 3.0])
PROBES = st.sampled_from(("ready", "smoke"))
OPTIONS = st.tuples(*map(st.sampled_from, ((0, 1, 5, 10), (1, 5, 30), (0.25, 2, 10))))
"""fresh, stale and timeout of a check."""

_numbers = itertools.count()


@dataclass
class Run:
    """One run, as the check itself knows it."""

    number: int
    began: float
    seconds: float
    well: bool
    ended: float = math.inf


class Subject:
    """The run of a check: it takes as long as it is set to, and counts its runs."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.well, self.seconds = True, 0.0
        self.runs: list[Run] = []
        self.begun = 0
        self.running = 0
        self.beside = False

    def __call__(self) -> None:
        run = Run(self.begun, self.clock.time, self.seconds, self.well)
        self.begun += 1
        self.runs.append(run)
        self.running += 1
        self.beside |= self.running > 1
        self.clock.sleep(run.seconds)
        self.running -= 1
        run.ended = self.clock.time
        if not run.well:
            raise CheckFailed("down")


@dataclass
class Ask:
    """One ask for a report, with what was known before it."""

    probe: str
    earliest: float
    begun: dict[str, int]
    """How many runs had begun before the ask."""
    latest: float = 0.0
    begun_beside: dict[str, int] = field(default_factory=dict)
    """How many runs had begun after all asks of the same moment."""
    ended: float = 0.0
    report: Report | None = None


class MonitorModel(RuleBasedStateMachine):
    """Two checks, callers side by side, and a clock that moves between and while they ask."""

    @initialize(
        tick=st.sampled_from((0.0, TICK)),
        options=st.tuples(
            *[st.tuples(*map(st.sampled_from, ((0, 1, 5, 10), (1, 5, 30), (0.25, 2, 10))))] * 2
        ),
    )
    def begin(self, tick, options):
        name = f"model-{next(_numbers)}."
        self.clock = SimulatedClock(name, tick)
        self.subjects, self.checks = {}, {}
        for letter, (fresh, stale, timeout) in zip("ab", options, strict=True):
            subject = Subject(self.clock)
            check = Check(
                f"{name}{letter}",
                subject,
                frozenset({"ready", "smoke"}),
                timeout_seconds=timeout,
                fresh_seconds=fresh,
                stale_seconds=max(fresh, stale),
            )
            self.subjects[check.name], self.checks[check.name] = subject, check
        self.monitor = Monitor(self.checks.values(), clock=self.clock)
        self.asks: list[Ask] = []
        self.asked_by_smoke = False

    @rule(number=st.integers(0, 1), seconds=SECONDS, well=st.booleans())
    def change(self, number, seconds, well):
        subject = list(self.subjects.values())[number]
        subject.seconds, subject.well = seconds, well

    @rule(probe=PROBES, callers=st.integers(1, 3), waits=st.booleans())
    def ask(self, probe, callers, waits):
        self.asked_by_smoke |= probe == "smoke"
        asks = [Ask(probe, self.clock.time, self.begun()) for _ in range(callers)]
        for one in asks:
            self.clock.start(partial(self.report, one))
        self.clock.settle()
        for one in asks:
            one.latest, one.begun_beside = self.clock.time, self.begun()
        self.asks += asks
        if waits:
            self.pass_time(LIMITS[probe].deadline_seconds)
        self.verify()

    def begun(self):
        return {name: subject.begun for name, subject in self.subjects.items()}

    def report(self, ask):
        ask.report = self.monitor.report(ask.probe)
        ask.ended = self.clock.time

    @rule(seconds=SECONDS)
    def pass_time(self, seconds):
        self.clock.advance(seconds)
        self.verify()

    @rule(period=SECONDS, times=st.integers(2, 5))
    def ask_periodically(self, period, times):
        for _ in range(times):
            self.ask("smoke", 1, False)
            self.pass_time(period)

    @rule(
        probes=st.tuples(PROBES, PROBES, PROBES),
        runs=st.tuples(SHORT, st.sampled_from([0.125, 0.5, 3.0, 60.0])),
        gaps=st.tuples(SHORT, SHORT),
    )
    def ask_while_it_runs(self, probes, runs, gaps):
        """One ask has a result, the next begins a run, and the last comes while that one runs."""
        for subject in self.subjects.values():
            subject.seconds, subject.well = runs[0], True
        self.ask(probes[0], 1, True)
        self.pass_time(gaps[0])
        for subject in self.subjects.values():
            subject.seconds, subject.well = runs[1], False
        self.ask(probes[1], 1, False)
        self.pass_time(gaps[1])
        self.ask(probes[2], 1, True)

    @precondition(lambda self: self.clock.is_idle())
    @rule(seconds=st.sampled_from((-600.0, -31.0, -3.0, -HAIR, 1e6)))
    def jump(self, seconds):
        """Moves the clock: the next ask must not use a result of a moment that is to come again."""
        latest = {name: one.runs[-1] for name, one in self.subjects.items() if one.runs}
        if any(run.seconds >= self.checks[name].timeout_seconds for name, run in latest.items()):
            return  # the model does not know when the monitor noticed the time-out
        self.clock.time += seconds
        for subject in self.subjects.values():
            if subject.runs and subject.runs[-1].ended > self.clock.time:
                subject.runs = []
        self.ask("ready", 1, True)

    def verify(self):
        for name, subject in self.subjects.items():
            assert not subject.beside, "a second run beside the first"
            fresh = self.checks[name].fresh_seconds
            least = min(fresh, LIMITS["smoke"].fresh_seconds) if self.asked_by_smoke else fresh
            for one, other in itertools.pairwise(subject.runs):
                assert other.began - one.began >= least - CLOSE, "asked more often than fresh"
        done = [ask for ask in self.asks if ask.report]
        self.asks = [ask for ask in self.asks if not ask.report]
        for ask in done:
            self.is_true(ask)
        for ask in self.asks:
            assert self.clock.time - ask.latest <= LIMITS[ask.probe].deadline_seconds + CLOSE

    def is_true(self, ask):
        limits = LIMITS[ask.probe]
        assert ask.report is not None
        assert ask.ended - ask.latest <= limits.deadline_seconds + CLOSE, "past the deadline"
        oracles = [Oracle(self, ask, result) for result in ask.report.results]
        assert len(oracles) == 2
        for oracle in oracles:
            oracle.holds()
        if all(oracle.usable for oracle in oracles):
            assert ask.ended <= ask.latest + CLOSE, "waited although each result could be used"

    def teardown(self):
        if hasattr(self, "clock"):
            self.clock.advance(100)
            self.verify()
            assert self.clock.is_idle()
            assert not self.asks


class Oracle:
    """What may be reported of one check to one ask."""

    def __init__(self, model: MonitorModel, ask: Ask, result: Result) -> None:
        check, limits = model.checks[result.name], LIMITS[ask.probe]
        self.ask, self.result = ask, result
        self.timeout, self.deadline = check.timeout_seconds, limits.deadline_seconds
        self.fresh = min(check.fresh_seconds, limits.fresh_seconds)
        self.stale = min(check.stale_seconds, limits.stale_seconds)
        runs = model.subjects[result.name].runs
        self.runs = [run for run in runs if run.began <= ask.ended]
        self.late = [run for run in self.runs if run.seconds >= self.timeout]
        self.known = [run for run in self.runs if run not in self.late and run.ended <= ask.ended]
        self.usable = bool(self.fresh) and any(
            ask.latest - self.stale <= run.ended <= ask.earliest for run in self.known
        )

    def holds(self):
        if self.result.reason.startswith("no result within"):
            self.nothing_came()
        elif self.result.reason.startswith("timed out"):
            self.timed_out()
        else:
            self.is_the_newest()
        room = self.deadline / 2 if self.fresh == 0 else self.deadline
        if all(run.well and run.seconds < min(room, self.timeout) - CLOSE for run in self.runs):
            assert self.result.status == "pass", "a check that holds"

    def nothing_came(self):
        assert self.ask.ended >= self.ask.earliest + self.deadline - CLOSE, "gave up early"
        assert not self.usable, "a result could be used"
        since = self.ask.begun_beside[self.result.name] if self.fresh == 0 else 0
        came = [run for run in self.known if run.number >= since]
        assert not [r for r in came if self.ask.latest < r.ended < self.ask.ended - CLOSE], (
            "a result came"
        )

    def timed_out(self):
        assert any(
            run.began + self.timeout <= self.ask.ended + CLOSE
            and not self.newer_than(run.began)
            and (
                run.began + run.seconds >= self.ask.earliest - CLOSE
                or self.result.at >= self.ask.earliest - self.stale - CLOSE
            )
            for run in self.late
        ), "no run has timed out, or it has long returned"

    def is_the_newest(self):
        at = self.result.at
        (*_, run) = [run for run in self.known if abs(run.ended - at) <= CLOSE]
        assert self.result.status == ("pass" if run.well else "fail")
        assert not [r for r in self.known if at + CLOSE < r.ended < self.ask.ended - CLOSE]
        overdue = [r for r in self.late if r.began + self.timeout < self.ask.ended - CLOSE]
        assert not [r for r in overdue if r.began > run.began], "a newer run has timed out"
        assert at >= self.ask.earliest - self.stale - CLOSE, "too old"
        if self.fresh == 0:
            assert run.number >= self.ask.begun[self.result.name], "began before the ask"

    def newer_than(self, moment):
        return [r for r in self.known if r.began > moment and r.ended < self.ask.ended - CLOSE]


pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("probe", ["smoke", "ready"])
@pytest.mark.parametrize("period", [5.0, 5.001, 5.002, 30.0])
def test_two_hundred_asks_at_one_period_give_no_false_failure(probe, period):
    """Two checks with the default limits; while one runs, the result of the other grows older."""
    name = f"period-{next(_numbers)}."
    clock = SimulatedClock(name, TICK)
    runs = {f"{name}quick": 0.001, f"{name}slow": 0.008}
    monitor = Monitor(
        [
            Check(name, partial(clock.sleep, seconds), frozenset({"ready", "smoke"}))
            for name, seconds in runs.items()
        ],
        clock=clock,
    )
    reports = []
    for _ in range(200):
        clock.start(lambda: reports.append(monitor.report(probe)))
        clock.advance(period)
    assert [report.status for report in reports] == ["pass"] * 200


STEPS = int(os.environ.get("MODEL_STEPS", "1500"))
TestMonitor = MonitorModel.TestCase
TestMonitor.settings = settings(
    max_examples=STEPS // 25,
    stateful_step_count=25,
    deadline=None,
    derandomize="MODEL_STEPS" not in os.environ,
    database=None,
    print_blob=True,
)
