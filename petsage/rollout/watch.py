"""Asks at a steady rate while a release is rolled out, and counts what is lost.

Asks start on time, whatever the answers do (an open loop). A client that waits for a slow answer
before it asks again does not send the very asks that would have been slow: "coordinated omission".
"""

import itertools
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from http.client import IncompleteRead
from queue import Empty

from petsage.client import MIDDLE, WAITING, NoAnswer, Target
from petsage.clock import Clock
from petsage.contract import Kind, gravest
from petsage.rollout.asking import LIMITED, Get, Resolve
from petsage.rollout.losses import Ask, Loss, Losses
from petsage.rollout.plan import RolloutPlan
from petsage.rollout.pool import Pool
from petsage.rollout.record import TargetRecord, turned
from petsage.rollout.verdict import judge, judge_failure

RESOLVE_SECONDS = 1
"""How long the addresses of a name are used before it is looked up again."""

AFTER_SECONDS = 3
"""How long the watch goes on after the release is proven: old instances still stop then."""

_LOST = {Kind.WRONG, Kind.UNREACHED}


@dataclass
class Watch:
    """Watches the targets of a plan, once. If the plan has a release, the watch ends
    `AFTER_SECONDS` after that is proven."""

    plan: RolloutPlan
    get: tuple[Get, Get]
    """The first asks on a new connection, the second on a kept one."""
    resolve: Resolve
    clock: Clock
    tick: Callable[[float, Losses], None] = lambda _now, _losses: None
    """Is called about once a second, in the thread that runs the watch."""
    stopped: bool = False
    """Set by a signal handler to end the asking: an exception instead could lose an answer."""

    def __post_init__(self) -> None:
        self.losses = Losses(self.plan.targets)
        self._records = {target: TargetRecord(self.plan, target) for target in self.plan.targets}
        self._unproven = set(self.plan.targets)
        self._known: dict[Target, tuple[float, tuple[str, ...]]] = {}
        """The addresses of each target, and when they were looked up."""
        self._began = self._end = 0.0

    def run(self, rate: int, seconds: float) -> None:
        """Starts `rate` asks a second, half of them on new connections and half on kept ones, until
        `seconds` are over, the release is proven, or the watch is stopped.

        Then it waits for the asks that are under way, since they may still be lost.
        """
        self._began, self._end = self.clock.now(), seconds
        most = int(rate * self.plan.timeout_seconds * 2) + 2  # all of them may hang
        with closing(Pool[Ask](most)) as pool, suppress(Empty):
            try:
                self._ask_on_time(pool, rate)
            finally:
                self.losses.asked_until = self.now()
                until = self.now() + self.plan.timeout_seconds * 2
                while pool.under_way:
                    self._add_next(pool, until)

    def now(self) -> float:
        """Seconds since the watch began."""
        return self.clock.now() - self._began

    @property
    def kind(self) -> Kind:
        """The verdict on the release, by the rules of `petsage smoke-test`."""
        kinds: set[Kind] = set()
        for target, record in self._records.items():
            record.end(self.now())
            answered = self.losses.good_at[target]
            # Lost asks are judged by the bounds, not here, even if the last ask was lost.
            kinds |= {breach.kind for breach in record.breaches} - (_LOST if answered else set())
            if not answered or (self.plan.release and target in self._unproven):
                kinds.add(Kind.INCONCLUSIVE)
        return gravest(kinds)

    def _ask_on_time(self, pool: Pool[Ask], rate: int) -> None:
        targets = self.plan.targets
        for number in itertools.count():
            due = number / rate
            with suppress(Empty):
                while True:
                    self._add_next(pool, min(due, self._end))
            if due >= self._end or self.stopped:
                return
            if number % rate == 0:
                self.tick(self.now(), self.losses)
            turn = number // 2
            pool.submit(partial(self._ask, targets[turn % len(targets)], turn, number % 2, due))

    def _add_next(self, pool: Pool[Ask], until: float) -> None:
        """Adds the next ask that ends. Raises `Empty` if none does until then."""
        ask = pool.result(max(0.0, until - self.now()))
        self.losses.add(ask)
        record = self._records[ask.target]
        _, addresses = self._known.get(ask.target, (0.0, ()))
        record.resolved(addresses)
        record.add(ask.finding, ask.ended)
        if record.to_ask():
            return
        record.end(ask.ended)
        if not record.breaches:
            self._unproven.discard(ask.target)
        record.begin()
        if self.plan.release and not self._unproven:
            self._end = min(self._end, self.now() + AFTER_SECONDS)

    # What follows runs in the pool's threads.

    def _ask(self, target: Target, turn: int, kept: int, due: float) -> Ask:
        plan = self.plan
        late = max(0.0, self.now() - due)
        address, loss = "", None
        try:
            addresses = self._addresses(target, turn // len(plan.targets))
            if plan.every_address and addresses:
                address, addresses = addresses[0], addresses[:1]
            answer = self.get[kept](target, addresses, plan.timeout_seconds)
            finding = judge(plan, target, address, answer)
            if finding.breach:
                other = Loss.SERVER if answer.status >= 500 else Loss.WRONG
                loss = Loss.LIMITED if answer.status == LIMITED else other
        except NoAnswer as error:
            finding = judge_failure(target, address, error, plan.timeout_seconds)
            loss = _loss(error)
        return Ask(target, due, late, self.now(), finding, loss)

    def _addresses(self, target: Target, turn: int) -> tuple[str, ...]:
        """All addresses of a target, each time beginning with another one."""
        at, addresses = self._known.get(target, (-RESOLVE_SECONDS, ()))
        if self.now() - at >= RESOLVE_SECONDS:
            addresses = self.resolve(target, self.plan.timeout_seconds)
            self._known[target] = self.now(), addresses
        return turned(addresses, turn)


def _loss(error: NoAnswer) -> Loss:
    if isinstance(error.__cause__, TimeoutError | None):
        return Loss.TIMED_OUT
    if not isinstance(error.__cause__, OSError):
        return Loss.CUT if isinstance(error.__cause__, IncompleteRead) else Loss.WRONG
    return {WAITING: Loss.RESET, MIDDLE: Loss.CUT}.get(error.step, Loss.REFUSED)
