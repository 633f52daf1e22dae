"""What is to be proven, and how one target is asked: this runs in the pool's threads."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from petsage.client import Answer, NoAnswer, Target
from petsage.clock import Clock
from petsage.contract import SMOKE_TEST_CONTRACT, Contract
from petsage.rollout.verdict import Finding, judge, judge_failure

_T = TypeVar("_T")

Get = Callable[[Target, tuple[str, ...], float], Answer]
"""Asks one of a target's addresses within some seconds, as `petsage.client.Client.get` does."""
Resolve = Callable[[Target, float], tuple[str, ...]]
"""Looks a target's addresses up within some seconds. Raises `NoAnswer`."""
Known = Callable[[Target], tuple[str, ...] | None]
"""The addresses of a target that takes no look-up, else None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """What is to be proven, and how long that may take."""

    targets: tuple[Target, ...]
    every_address: bool = False
    """Whether each address that a name resolves to is asked, or one of them."""
    instances: int = 0
    """How many instances must have answered for each target."""
    release: str = ""
    """The release that each answer must carry. Without one, all answers of a target must carry
    the same."""
    contract: Contract = SMOKE_TEST_CONTRACT
    max_latency_seconds: float | None = None
    timeout_seconds: float = 5
    """For one answer, from the connection to its last byte; and for looking up a name."""
    consecutive: int = 1
    """How many rounds in a row must be without a breach."""
    wait_seconds: float = 0
    """For everything. 0 does not wait: the first breach ends it."""

    @property
    def requests(self) -> int:
        """How many requests for each target may go into finding all instances, in one round.

        Of N instances behind a balancer that picks at random, n requests miss one with a chance
        below N·exp(-n/N). This many bring that to exp(-12), one in 160,000: 40 for three.
        """
        return math.ceil(self.instances * (math.log(self.instances) + 12)) if self.instances else 1


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks within the plan's time-outs, and judges what comes of it."""

    plan: RolloutPlan
    get: Get
    resolve: Resolve
    known: Known
    clock: Clock
    began: float
    """When the rollout began, by the clock."""

    def elapsed(self) -> float:
        """The seconds since the rollout began."""
        return self.clock.now() - self.began

    def left(self) -> float:
        """The seconds until it must be over; without end if it does not wait."""
        return (self.plan.wait_seconds or math.inf) - self.elapsed()

    def look_up(self, target: Target, asked_at: float) -> "tuple[str, ...] | Finding":
        """The addresses of a target, or why there are none."""
        return self._in_time(target, "", asked_at, lambda seconds: self.resolve(target, seconds))

    def ask(
        self, target: Target, addresses: tuple[str, ...], address: str, asked_at: float
    ) -> Finding:
        """What the first of `addresses` that accepts a connection answers."""

        def answered(seconds: float) -> Finding:
            answer = self.get(target, addresses, seconds)
            finding = judge(
                answer, self.plan.release, self.plan.max_latency_seconds, self.plan.contract
            )
            return placed(finding, target, address, answer.address)

        return self._in_time(target, address, asked_at, answered)

    def _in_time(
        self, target: Target, address: str, asked_at: float, work: Callable[[float], _T]
    ) -> "_T | Finding":
        """What `work` returns, or the finding that says why it does not."""
        plan = self.plan
        seconds = min(plan.timeout_seconds, self.left())
        error = NoAnswer("before its turn")
        if seconds > 0:
            try:
                return work(seconds)
            except NoAnswer as raised:
                error = raised
        late = isinstance(error.__cause__, TimeoutError | None)
        cut = late and seconds < plan.timeout_seconds
        finding = judge_failure(error, plan.wait_seconds if cut else seconds)
        waited = self.elapsed() - asked_at if cut else None
        finding = replace(finding, seconds=waited, cut=cut)
        return placed(finding, target, address, error.address)


def placed(finding: Finding, target: Target, address: str, peer: str) -> Finding:
    """The finding at a target's address; its breach names the peer, if the address does not."""
    breach = finding.breach and replace(finding.breach, seen=target.hidden(finding.breach.seen))
    if breach and peer not in ("", address, target.host):
        breach = replace(breach, seen=f"{breach.seen} at {peer}")
    return replace(finding, target=target.url, address=address, breach=breach)
