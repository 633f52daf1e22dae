"""Proves a deployment: asks every replica, pass after pass, until it holds or time is up."""

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from petsage.client import Answer, NoAnswer, Target
from petsage.rollout.crew import Clock, Course, Crew, Interrupted, Job, SystemClock
from petsage.rollout.verdict import (
    EVERY,
    NONE_YET,
    Breach,
    Kind,
    Row,
    first,
    instances,
    judge,
    judge_failure,
    judge_instances,
    judge_releases,
    some,
    standing,
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
        """Something was found at one address, or is `cut` for now: it has been asked."""

    def idle(self) -> None:
        """Nothing has come for a while."""

    def passed(self, number: int, rows: Iterable[Row]) -> None:
        """A pass is over: this is all that is known now."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was proven, or not."""

    rows: tuple[Row, ...]
    """The latest of each address of each target."""
    answers: tuple[Row, ...]
    """All that the latest pass found: of an address, all that came from behind it."""
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
        self._crew = Crew(self._clock, self._arrived, self._watcher.idle)
        self._until = math.inf
        self._waiting: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._fresh: dict[str, list[Row]] = defaultdict(list)
        self._answers: dict[str, list[Row]] = {}
        self._rows: tuple[Row, ...] = ()
        self._late: list[str] = []
        self._addresses: dict[Target, tuple[str, ...]] = {}
        self._notes: list[str] = []
        self._passes = self._requests = self._good = self._best = self._bad = 0

    def interrupt(self) -> None:
        """Makes `run` return soon. A signal handler may call it at any time."""
        self._crew.interrupt()

    def run(self) -> Outcome:
        """Asks until the plan is proven, or cannot be, or its time is up, or it is interrupted."""
        began = self._clock.now()
        if self._plan.wait_seconds:
            self._until = began + self._plan.wait_seconds
        try:
            while self._pass_and_pause():
                pass
            breach = self._shortfall()
        except Interrupted:
            now = self._clock.now()
            for (url, address), asked in self._waiting.items():
                cut = (Row(url, address, NONE_YET, seconds=now - at, cut=True) for at in asked)
                self._fresh[url] += cut
            self._settle()
            breach = self._short(Kind.INTERRUPTED, "run", "an end", "an interruption")
        finally:
            self._crew.close()
        return Outcome(
            self._rows,
            tuple(itertools.chain(*self._answers.values())),
            breach,
            self._passes,
            self._requests,
            self._clock.now() - began,
            tuple(self._notes),
        )

    def _pass_and_pause(self) -> bool:
        """Says whether there is to be another pass."""
        self._passes += 1
        self._crew.run(self._course(target) for target in self._plan.targets)
        breaches = self._settle()
        self._good, self._bad = (0, self._bad + 1) if breaches else (self._good + 1, 0)
        self._best = max(self._best, self._good)
        self._watcher.passed(self._passes, self._rows)
        if self._good >= self._plan.consecutive or not all(breach.heals for breach in breaches):
            return False
        if breaches and not self._plan.wait_seconds:
            return False
        return self._pause()

    def _settle(self) -> list[Breach]:
        """Takes in what a pass has found, though it may be cut. Returns all that was wrong."""
        found = self._fresh
        urls = [target.url for target in self._plan.targets]
        self._answers = {url: standing(found[url], self._answers.get(url, [])) for url in urls}
        self._rows = tuple(itertools.chain(*map(self._told, urls)))
        told = {_key(row) for row in self._rows if row.cut}
        now = self._clock.now()
        self._late = [
            f"{Row(*key)} for {now - asked[0]:.1f} s"
            for key, asked in self._waiting.items()
            if asked and key not in told
        ]
        self._fresh, self._waiting = defaultdict(list), defaultdict(list)
        rows = itertools.chain(*found.values(), self._rows)
        return [row.breach for row in rows if row.breach]

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
        told = any(row.breach for row in self._rows) and not self._late
        if self._good >= plan.consecutive or told:
            return None
        wanted = f"{plan.consecutive} in a row within {plan.wait_seconds:g} s"
        return self._short(Kind.INCONCLUSIVE, "passes", wanted, str(self._best))

    def _short(self, kind: Kind, where: str, expected: str, seen: str) -> Breach:
        late = f"; still waiting for {some(self._late)}" if self._late else ""
        return Breach(kind, where, expected, seen + late, heals=True)

    def _course(self, target: Target) -> Course:
        """A target's way through a pass."""
        (found,) = yield [self._job(target, "", partial(self._resolve, target))]
        if isinstance(found, Row):
            return
        del self._waiting[target.url, ""]
        self._compare(target, found)
        turns = itertools.cycle(self._turns(found))
        number = max(1, len(found)) if self._plan.every_address else 1
        while number:
            rows = yield [self._ask(target, next(turns)) for _ in range(number)]
            self._fresh[target.url][-number:] = rows  # now in the order of the addresses
            number = self._more(self._fresh[target.url])

    def _ask(self, target: Target, addresses: tuple[str, ...]) -> Job:
        self._requests += 1
        address = addresses[0] if self._plan.every_address and addresses else ""
        return self._job(target, address, partial(self._asked, target, addresses, address))

    def _job(self, target: Target, address: str, work: Callable[[float], Any]) -> Job:
        self._waiting[target.url, address].append(self._clock.now())
        self._watcher.row(Row(target.url, address, NONE_YET, cut=True))
        return partial(self._in_time, target, address, work)

    def _arrived(self, found: object) -> None:
        if isinstance(found, Row):
            self._fresh[found.target].append(found)
            if not found.cut:
                self._waiting[_key(found)].pop()
                self._watcher.row(found)

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

    def _told(self, url: str) -> list[Row]:
        """The latest row of each address, or the one with a breach, and one of all together."""
        rows = self._answers[url]
        latest = {row.address: row for row in rows}
        latest |= {row.address: row for row in rows if row.breach}
        breach = judge_releases(rows, self._plan.release)
        if not any(row.breach for row in rows):
            breach = breach or judge_instances(rows, self._plan.instances)
        return [*latest.values(), *([Row(url, EVERY, breach)] if breach else [])]

    def _compare(self, target: Target, found: tuple[str, ...]) -> None:
        """Notes which addresses are new and which are gone since the pass before."""
        if not self._plan.every_address:
            return
        known = self._addresses.get(target, found)
        now, before = set(found), set(known)
        changed = [f"{one} appeared" for one in found if one not in before]
        changed += [f"{one} vanished" for one in known if one not in now]
        self._notes += [f"pass {self._passes}: {target.url}: {change}" for change in changed]
        self._addresses[target] = found

    # The jobs, which run in threads: they touch nothing but the plan and the clock.

    def _asked(
        self, target: Target, addresses: tuple[str, ...], address: str, seconds: float
    ) -> Row:
        answer = self._get(target, addresses, seconds)
        row = judge(answer, self._plan.release, self._plan.max_latency_seconds)
        return _placed(row, target, address, answer.address)

    def _in_time(self, target: Target, address: str, work: Callable[[float], Any]) -> Any:
        """What `work` returns, or the row that says why it does not."""
        plan = self._plan
        seconds = min(plan.timeout_seconds, self._until - self._clock.now())
        error = NoAnswer("before its turn")
        if seconds > 0:
            try:
                return work(seconds)
            except NoAnswer as raised:
                error = raised
        late = isinstance(error.__cause__, TimeoutError | None)
        cut = late and seconds < plan.timeout_seconds
        row = judge_failure(error, plan.wait_seconds if cut else seconds)
        return replace(_placed(row, target, address, error.address), cut=cut)


def _placed(row: Row, target: Target, address: str, peer: str) -> Row:
    """The row of a target's address; a breach tells the peer, where the rest does not."""
    breach = row.breach
    if breach and peer not in ("", address, target.host):
        breach = replace(breach, seen=f"{breach.seen} at {peer}")
    return replace(row, target=target.url, address=address, breach=breach)


def _key(row: Row) -> tuple[str, str]:
    return row.target, row.address
