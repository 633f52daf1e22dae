"""Asks at a steady rate while a release is rolled out, and counts what is lost.

Asks start on time whatever the answers do (an open loop). A client that waits for a slow answer
before it asks again leaves out the very asks that would have been slow: "coordinated omission".
"""

import itertools
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import IncompleteRead
from queue import Empty

from petsage.client import MIDDLE, WAITING, NoAnswer, Target
from petsage.clock import Clock
from petsage.contract import Kind, gravest
from petsage.rollout.asking import Get, Resolve, RolloutPlan, placed
from petsage.rollout.losses import Ask, Loss
from petsage.rollout.pool import Pool
from petsage.rollout.record import Record
from petsage.rollout.verdict import Finding, judge, judge_failure

RESOLVE_SECONDS = 1
"""The addresses of a name are used for so long."""

MOST_SECONDS = 3600
"""No watch is longer: it remembers each of its asks."""

AFTER_SECONDS = 3
"""The watch goes on for so long once the release is proven: old instances still stop then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPlan:
    """What is watched, and for how long."""

    rollout: RolloutPlan
    """Its release, if it has one, ends the watch `AFTER_SECONDS` after it is proven."""
    rate: float = 20
    """How many asks start in a second; half of them on new connections, half on kept ones."""
    seconds: float = MOST_SECONDS


@dataclass(slots=True)
class Watch:
    """Runs a plan, once."""

    plan: WatchPlan
    get: tuple[Get, Get]
    """Ask on a new connection, and on a kept one."""
    resolve: Resolve
    clock: Clock
    tick: Callable[["Watch"], None] = lambda _watch: None
    """Is called about once a second, in the thread that runs the watch."""
    asks: list[Ask] = field(default_factory=list)
    """All that are over."""
    proven: dict[str, bool] = field(default_factory=dict)
    """Whether a round of each target has proved the release."""
    asked_until: float = 0.0
    """When the last ask could have begun: what comes later is no gap, since nobody asks then."""
    stopped: bool = False
    """Set by a signal handler to end the asking: an exception out of one could lose an answer."""
    _records: dict[str, Record] = field(default_factory=dict)
    _known: dict[str, tuple[float, tuple[str, ...]]] = field(default_factory=dict)
    _asked: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _began: float = 0.0
    _end: float = 0.0

    def run(self) -> None:
        """Asks until time is up, the release is proven, or it is stopped.

        The asks that are under way by then are waited for, since they may still be lost.
        """
        rollout = self.plan.rollout
        self._began, self._end = self.clock.now(), self.plan.seconds
        self._records = {one.url: Record(rollout, one) for one in rollout.targets}
        self.proven = dict.fromkeys(self._records, False)
        most = int(self.plan.rate * rollout.timeout_seconds * 2) + 2  # all of them may hang
        with closing(Pool[tuple[Ask, Finding]](most)) as pool:
            try:
                self._ask_on_time(pool)
            finally:
                self.asked_until = self.now()
                self._receive(pool, self.now() + rollout.timeout_seconds * 2, whole=True)

    def now(self) -> float:
        """Seconds since the watch began."""
        return self.clock.now() - self._began

    @property
    def kind(self) -> Kind:
        """The verdict on the release, as `petsage smoke-test` has it."""
        for record in self._records.values():
            record.end(self.now())
        answered = {ask.target for ask in self.asks if ask.loss is None}
        kinds = {
            breach.kind
            for url, record in self._records.items()
            for breach in record.breaches
            # A lost ask is judged by the bounds, whether or not it was the last one.
            if url not in answered or breach.kind not in (Kind.WRONG, Kind.UNREACHED)
        }
        if kinds:
            return gravest(kinds)
        unproven = self.plan.rollout.release and not all(self.proven.values())
        return Kind.INCONCLUSIVE if unproven else Kind.PROVEN

    def _ask_on_time(self, pool: Pool[tuple[Ask, Finding]]) -> None:
        targets = self.plan.rollout.targets
        for number in itertools.count():
            due = number / self.plan.rate
            self._receive(pool, min(due, self._end))
            if due >= self._end or self.stopped:
                return
            if number % max(1, int(self.plan.rate)) == 0:
                self.tick(self)
            turn = number // 2
            pool.submit(partial(self._ask, targets[turn % len(targets)], turn, number % 2, due))

    def _receive(self, pool: Pool[tuple[Ask, Finding]], until: float, whole: bool = False) -> None:
        """Takes in what comes until then; or, if it wants the whole, until nothing is missing."""
        with suppress(Empty):
            while pool.under_way or not whole:
                self._add(*pool.result(max(0.0, until - self.now())))

    def _add(self, ask: Ask, finding: Finding) -> None:
        self.asks.append(ask)
        record, addresses = self._records[ask.target], self._known.get(ask.target, (0.0, ()))[1]
        if self._asked.get(ask.target) != addresses:
            self._asked[ask.target] = addresses
            record.resolved(addresses)
        record.hear(finding, ask.ended)
        if record.more():
            return
        record.end(ask.ended)
        self.proven[ask.target] |= not record.breaches
        record.begin()
        if self.plan.rollout.release and all(self.proven.values()):
            self._end = min(self._end, self.now() + AFTER_SECONDS)

    # What follows runs in the pool's threads.

    def _ask(self, target: Target, turn: int, kept: int, due: float) -> tuple[Ask, Finding]:
        rollout = self.plan.rollout
        late = max(0.0, self.now() - due)
        address, loss = "", None
        try:
            addresses = self._addresses(target)
            if rollout.every_address and addresses:
                address = addresses[turn // len(rollout.targets) % len(addresses)]
                addresses = (address,)
            answer = self.get[kept](target, addresses, rollout.timeout_seconds)
            finding = judge(answer, rollout.release, rollout.max_latency_seconds, rollout.contract)
            if finding.breach:
                loss = Loss.SERVER if answer.status >= 500 else Loss.WRONG
        except NoAnswer as error:
            finding, loss = judge_failure(error, rollout.timeout_seconds), _loss(error)
        finding = placed(finding, target, address, "")
        ended = self.now()
        return (
            Ask(target.url, due, late, ended, loss, finding.release, finding.instance),
            finding,
        )

    def _addresses(self, target: Target) -> tuple[str, ...]:
        at, addresses = self._known.get(target.url, (-RESOLVE_SECONDS, ()))
        if self.now() - at >= RESOLVE_SECONDS:
            addresses = self.resolve(target, self.plan.rollout.timeout_seconds)
            self._known[target.url] = self.now(), addresses
        return addresses


def _loss(error: NoAnswer) -> Loss:
    if isinstance(error.__cause__, TimeoutError | None):
        return Loss.TIMED_OUT
    if not isinstance(error.__cause__, OSError):
        return Loss.CUT if isinstance(error.__cause__, IncompleteRead) else Loss.WRONG
    return {WAITING: Loss.RESET, MIDDLE: Loss.CUT}.get(error.step, Loss.REFUSED)
