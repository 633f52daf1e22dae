"""Proves a deployment: round after round, until it is proven, cannot be, or time is up."""

import random
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from petsage.clock import Clock, SystemClock
from petsage.contract import Breach, Kind, gravest
from petsage.errors import Terminated
from petsage.printable import counted
from petsage.rollout.asking import Asking, Get, Progress, Resolve
from petsage.rollout.plan import RolloutPlan
from petsage.rollout.record import Sighting
from petsage.rollout.verdict import Finding, shortlist

BETWEEN_SECONDS = 1
"""The pause after a round without a breach. Jitter shortens every pause by up to a half."""

_FIRST_BACKOFF_SECONDS = 0.25
_LONGEST_BACKOFF_SECONDS = 5
_LAST_PAUSE_SECONDS = 0.05  # with less time left than that, no round begins


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was proven, or not."""

    rows: tuple[Finding, ...]
    """A finding for each address of each target, and one for each target whose answers are wrong
    together."""
    answers: tuple[Finding, ...]
    """The latest finding of each instance that may still be there."""
    seen: tuple[Sighting, ...]
    """Every instance that ever answered; its times are seconds since the rollout began."""
    breach: Breach | None
    """What is wrong with the rollout as a whole; each row has its own."""
    rounds: int
    requests: int
    seconds: float
    notes: tuple[str, ...]
    """The addresses that appeared and vanished, and the targets that were asked slowly."""
    claim: str = ""
    """What a good verdict says of the instances, where their number was not given."""

    @property
    def kind(self) -> Kind:
        """The verdict."""
        breaches = [self.breach, *(row.breach for row in self.rows)]
        return gravest({breach.kind for breach in breaches if breach})


@dataclass
class Rollout:
    """Carries out a plan, once."""

    plan: RolloutPlan
    get: Get
    """That of a `petsage.client.Client`."""
    resolve: Resolve
    """That of a `petsage.rollout.names.Names`."""
    progress: Progress = field(default_factory=Progress)
    clock: Clock = field(default_factory=SystemClock)
    jitter: Callable[[], float] = random.SystemRandom().random
    """Returns from 0 to 1."""

    def __post_init__(self) -> None:
        self._asking = Asking(self.plan, self.get, self.resolve, self.progress, self.clock)
        self._records = self._asking.records
        self._rounds = self._good = self._bad = self._best = 0
        """How many rounds there were; how many of the last ones in a row were good, or bad; and the
        most that were ever good in a row."""

    def run(self) -> Outcome:
        """Asks until the plan is proven, cannot be, or its time is up.

        A `KeyboardInterrupt`, which a signal handler may raise at any moment, ends it too, with
        what is known by then.
        """
        breach: Breach | None
        with closing(self._asking):
            try:
                while self._run_round() and (seconds := self._pause_seconds()):
                    self.clock.wait(threading.Event(), seconds)
                breach = self._shortfall()
            except KeyboardInterrupt as interrupt:
                terminated = isinstance(interrupt, Terminated)
                kind = Kind.TERMINATED if terminated else Kind.INTERRUPTED
                breach = self._breach(kind, "run", "an end", "an interruption")
        notes = [note for record in self._records for note in record.notes]
        notes += [f"{target.url}: 429, so it was asked slowly" for target in self._asking.limited]
        answers = tuple(answer for record in self._records for answer in record.answers)
        return Outcome(
            self._rows(),
            answers,
            tuple(sighting for record in self._records for sighting in record.seen()),
            breach,
            self._rounds,
            self._asking.requests,
            self._asking.elapsed(),
            tuple(notes),
            "" if self.plan.instances else _claim(answers),
        )

    def _run_round(self) -> bool:
        """Runs a round; returns whether another one is needed and may help."""
        self._rounds += 1
        self._asking.run_round()
        breaches = [breach for record in self._records for breach in record.breaches]
        self._good, self._bad = (0, self._bad + 1) if breaches else (self._good + 1, 0)
        self._best = max(self._best, self._good)
        self.progress.round_over(self._rounds, self._rows())
        if breaches:
            return bool(self.plan.wait_seconds) and all(breach.retryable for breach in breaches)
        return self._good < self.plan.consecutive

    def _pause_seconds(self) -> float:
        """The pause before the next round; 0 if there is no time for one."""
        left = self._asking.left()
        if left < _LAST_PAUSE_SECONDS:
            return 0
        backoff = _FIRST_BACKOFF_SECONDS * 2 ** min(self._bad - 1, 10)
        pause = min(backoff, _LONGEST_BACKOFF_SECONDS) if self._bad else BETWEEN_SECONDS
        # The last round should be near the deadline, not a whole pause before it.
        return float(min(pause, left / 2) * (1 - self.jitter() / 2))

    def _rows(self) -> tuple[Finding, ...]:
        return tuple(row for record in self._records for row in record.rows)

    def _shortfall(self) -> Breach | None:
        """The breach that there were too few good rounds; None if a row says what is wrong."""
        plan = self.plan
        explained = any(row.breach for row in self._rows()) and not self._waiting()
        if self._good >= plan.consecutive or explained:
            return None
        expected = f"{plan.consecutive} in a row within {plan.wait_seconds:g} s"
        return self._breach(Kind.INCONCLUSIVE, "rounds", expected, str(self._best))

    def _breach(self, kind: Kind, where: str, expected: str, seen: str) -> Breach:
        """A breach of the rollout as a whole, which names the addresses that have not answered."""
        waiting = self._waiting()
        late = f"; still waiting for {shortlist(waiting)}" if waiting else ""
        return Breach(kind, where, expected, seen + late, retryable=True)

    def _waiting(self) -> list[str]:
        return [name for record in self._records for name in record.late]


def _claim(answers: tuple[Finding, ...]) -> str:
    names = {answer.instance for answer in answers}
    if "" in names or not names:
        return ", instances unknown"
    return f" for the {counted(len(names), 'instance')} seen"
