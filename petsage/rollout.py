"""Proves a deployment: asks every replica, pass after pass, until it holds or time is up."""

import itertools
import math
import random
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from petsage.client import Answer, NoAnswer, Target
from petsage.rollout_crew import Clock, Crew, Interrupted, SystemClock
from petsage.rollout_verdict import (
    EVERY,
    Breach,
    Kind,
    Row,
    first,
    instances,
    judge,
    judge_failure,
    judge_instances,
    judge_releases,
)

BETWEEN_SECONDS = 1
"""The pause after a pass without a breach. Every pause is cut by up to a half, by lot."""

_FIRST_BACKOFF_SECONDS = 0.25
_LONGEST_BACKOFF_SECONDS = 5
_LAST_PAUSE_SECONDS = 0.05  # with less time left than that, no other pass begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be proven, and how long that may take."""

    targets: tuple[Target, ...]
    every_address: bool = False
    """Whether each address that a name resolves to is asked, or one of them."""
    instances: int = 0
    """How many instances must have answered for each target."""
    release: str = ""
    """What each answer must carry. Without one, all answers of a target must carry the same."""
    max_latency_seconds: float | None = None
    timeout_seconds: float = 5
    """For one answer, from the connection to its last byte; and for looking up a name."""
    consecutive: int = 1
    """How many whole passes in a row must be without a breach."""
    wait_seconds: float = 0
    """For everything. 0 does not wait: the first breach ends it."""

    @property
    def requests(self) -> int:
        """How many requests for each target may go into finding all instances, in one pass.

        Of N instances behind a balancer that draws lots, n requests miss one with a chance below
        N·exp(-n/N). This many bring that to exp(-12), one in 160,000: 40 for three.
        """
        return math.ceil(self.instances * (math.log(self.instances) + 12)) if self.instances else 1


class Watcher:
    """Is told what happens, in the thread that runs it all. This one does not care."""

    def row(self, row: Row) -> None:
        """Something was found at one address."""

    def passed(self, number: int, rows: Iterable[Row]) -> None:
        """A pass is over: this is all that is known now."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was proven, or not."""

    plan: Plan
    rows: tuple[Row, ...]
    """The latest of each address of each target."""
    breach: Breach | None
    """What is not as it should be with the whole, be the rows as they may."""
    passes: int
    requests: int
    seconds: float
    notes: tuple[str, ...]
    """Which addresses appeared and vanished on the way."""

    @property
    def kind(self) -> Kind:
        """The one word, and the exit code."""
        breaches = [self.breach, *(row.breach for row in self.rows)]
        return first({breach.kind for breach in breaches if breach})


class Rollout:
    """Runs a plan, once."""

    def __init__(
        self,
        plan: Plan,
        get: Callable[[Target, tuple[str, ...], float], Answer],
        resolve: Callable[[Target, float], tuple[str, ...]],
        watcher: Watcher | None = None,
        clock: Clock | None = None,
        draw: Callable[[], float] | None = None,
    ) -> None:
        """`get` and `resolve` are told last the seconds that they may take, and raise `NoAnswer`:
        see `petsage.client`. `draw` gives numbers from 0 to 1 (default: a random one)."""
        self._plan = plan
        self._get = get
        self._resolve = resolve
        self._watcher = watcher or Watcher()
        self._clock = clock or SystemClock()
        self._draw = draw or random.SystemRandom().random
        self._crew = Crew(self._clock)
        self._until = math.inf
        self._rows: dict[tuple[str, str], Row] = {}
        self._addresses: dict[Target, tuple[str, ...]] = {}
        self._notes: list[str] = []
        self._passes = self._requests = self._good = self._bad = 0

    def interrupt(self) -> None:
        """Makes `run` return soon. A signal handler may call it at any time."""
        self._crew.interrupt()

    def run(self) -> Outcome:
        """Asks until the plan is proven, or cannot be, or its time is up, or it is interrupted."""
        began = self._clock.now()
        if self._plan.wait_seconds:
            self._until = began + self._plan.wait_seconds
        try:
            with self._crew:
                while self._pass_and_pause():
                    pass
            breach = self._shortfall()
        except Interrupted:
            breach = Breach(Kind.INTERRUPTED, "run", "an end", "an interruption", heals=True)
        return Outcome(
            self._plan,
            tuple(self._rows.values()),
            breach,
            self._passes,
            self._requests,
            self._clock.now() - began,
            tuple(self._notes),
        )

    def _pass_and_pause(self) -> bool:
        """Says whether there is to be another pass."""
        breaches = [row.breach for row in self._pass() if row.breach]
        self._good, self._bad = (0, self._bad + 1) if breaches else (self._good + 1, 0)
        self._watcher.passed(self._passes, self._rows.values())
        if self._good >= self._plan.consecutive or not all(breach.heals for breach in breaches):
            return False
        if breaches and not self._plan.wait_seconds:
            return False
        return self._pause()

    def _pass(self) -> list[Row]:
        self._passes += 1
        known = {row.target for row in self._rows.values()}
        found = self._crew.run(self._course(target) for target in self._plan.targets)
        rows = [row for some in found for row in some]
        # A target that there was no time for keeps what was known of it.
        cut = known & {row.target for row in rows if row.cut}
        kept = {key: row for key, row in self._rows.items() if row.target in cut}
        self._rows = {_key(row): row for row in rows if row.target not in cut} | kept
        return rows

    def _pause(self) -> bool:
        """Says whether there is time for another pass behind it."""
        left = self._until - self._clock.now()
        if left < _LAST_PAUSE_SECONDS:
            return False
        doubled = _FIRST_BACKOFF_SECONDS * 2 ** min(self._bad - 1, 10)
        longest = min(doubled, _LONGEST_BACKOFF_SECONDS) if self._bad else BETWEEN_SECONDS
        # The last pass is to be near the deadline, not a whole pause before it.
        self._crew.pause(min(longest, left / 2) * (1 - self._draw() / 2))
        return True

    def _shortfall(self) -> Breach | None:
        plan = self._plan
        if self._good >= plan.consecutive or any(row.breach for row in self._rows.values()):
            return None
        wanted = f"{plan.consecutive} in a row within {plan.wait_seconds:g} s"
        return Breach(Kind.INCONCLUSIVE, "passes", wanted, str(self._good), heals=True)

    def _course(self, target: Target) -> Generator[list[Callable[[], Any]], list[Any], list[Row]]:
        """A target's way through a pass."""
        (found,) = yield [partial(self._resolved, target)]
        if isinstance(found, Row):
            return [self._seen(found)]
        self._compare(target, found)
        turns = itertools.cycle(self._turns(found))
        number = max(1, len(found)) if self._plan.every_address else 1
        rows: list[Row] = []
        while number:
            answered = yield [partial(self._asked, target, next(turns)) for _ in range(number)]
            rows += map(self._seen, answered)
            self._requests += number
            number = self._more(rows)
        breach = self._together(rows)
        latest = {_key(row): row for row in rows}
        latest |= {_key(row): row for row in rows if row.breach}
        return [*latest.values(), *([Row(target.url, EVERY, breach)] if breach else [])]

    def _turns(self, found: tuple[str, ...]) -> list[tuple[str, ...]]:
        """The addresses that each request may use: one of them, or all, another one first."""
        if self._plan.every_address and found:
            return [(one,) for one in found]
        return [found[start:] + found[:start] for start in range(len(found))] or [()]

    def _more(self, rows: list[Row]) -> int:
        """How many requests to send now: one for each instance that is missing, within bounds."""
        if any(row.breach for row in rows):
            return 0
        missing = self._plan.instances - len(instances(rows))
        return max(0, min(missing, self._plan.requests - len(rows)))

    def _together(self, rows: list[Row]) -> Breach | None:
        if breach := judge_releases(rows, self._plan.release):
            return breach
        if any(row.breach for row in rows):
            return None
        return judge_instances(rows, self._plan.instances)

    def _seen(self, row: Row) -> Row:
        if not row.cut:
            self._rows[_key(row)] = row
            self._watcher.row(row)
        return row

    def _compare(self, target: Target, found: tuple[str, ...]) -> None:
        """Notes which addresses are new and which are gone since the pass before."""
        known = self._addresses.get(target, found) if self._plan.every_address else found
        changed = [f"{one} appeared" for one in found if one not in known]
        changed += [f"{one} vanished" for one in known if one not in found]
        self._notes += [f"pass {self._passes}: {target.url}: {change}" for change in changed]
        self._addresses[target] = found

    # The jobs, which run in threads: they touch nothing but the plan and the clock.

    def _resolved(self, target: Target) -> tuple[str, ...] | Row:
        found = self._in_time(partial(self._resolve, target))
        return replace(found, target=target.url) if isinstance(found, Row) else found

    def _asked(self, target: Target, addresses: tuple[str, ...]) -> Row:
        found = self._in_time(partial(self._get, target, addresses))
        if not isinstance(found, Row):
            found = judge(found, self._plan.release, self._plan.max_latency_seconds)
        address = addresses[0] if self._plan.every_address and addresses else ""
        return replace(found, target=target.url, address=address)

    def _in_time(self, work: Callable[[float], Any]) -> Any:
        """What `work` returns, or the row that says why it does not."""
        plan = self._plan
        seconds = min(plan.timeout_seconds, self._until - self._clock.now())
        if seconds <= 0:
            return replace(judge_failure(NoAnswer("before its turn"), plan.wait_seconds), cut=True)
        try:
            return work(seconds)
        except NoAnswer as error:
            if seconds == plan.timeout_seconds or not isinstance(error.__cause__, TimeoutError):
                return judge_failure(error, seconds)
            return replace(judge_failure(error, plan.wait_seconds), cut=True)


def _key(row: Row) -> tuple[str, str]:
    return row.target, row.address
