"""Who has answered at one address, and how many more answers it takes to have seen everybody."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from petsage.rollout.verdict import Finding

MOST_INSTANCES = 1000
"""Whoever shows more in one round, where no number is given, has a new name for every answer."""

_LUCK = 100_000


@lru_cache(maxsize=MOST_INSTANCES + 1)
def quiet_answers(instances: int) -> int:
    """How many answers in a row must come from these instances alone, until no other is expected.

    A balancer that picks at random leaves one more of them unseen in m answers with a chance of
    (n/(n+1))^m. From four on, n·(ln n + 12) answers bring that below 1 in 100,000; before that a
    few more are needed. A balancer that takes turns needs one turn.
    """
    n = instances
    return math.ceil(max(n * (math.log(n) + 12), math.log(_LUCK) / math.log1p(1 / n)))


@dataclass(slots=True)
class Sighting:
    """An instance as it was seen at one address; without a name it is whoever has none."""

    latest: Finding
    first_at: float
    """In seconds since the rollout began, as all its times."""
    last_at: float
    number: int
    """Which of the answers at its address was its last one."""
    answers: int = 0
    breaches: int = 0
    releases: Counter[str] = field(default_factory=Counter)

    def again(self, finding: Finding, at: float, number: int) -> None:
        """It has answered, or failed to."""
        self.latest, self.last_at, self.number = finding, at, number
        self.answers += finding.status is not None
        self.breaches += finding.breach is not None
        if finding.release:
            self.releases[finding.release] += 1

    def as_of(self, now: float) -> Finding:
        """Its latest finding, which says how old it is: it comes from an earlier round."""
        ago = now - self.last_at
        breach = self.latest.breach
        if breach:
            who = f" from instance {self.latest.instance}" if self.latest.instance else ""
            breach = replace(breach, seen=f"{breach.seen}{who}, last seen {ago:.1f} s ago")
        return replace(self.latest, breach=breach, seconds_ago=ago)


class Place:
    """Who has answered at one address."""

    def __init__(self) -> None:
        self.sightings: dict[str, Sighting] = {}
        self._number = 0
        self.begin()

    def begin(self) -> None:
        """A round begins."""
        self.fresh: set[str] = set()
        """Who has answered in it; those without a name count as one."""
        self.broken: Finding | None = None
        """Its latest answer with a breach, though a good one may have come after it."""
        self._since_new = 0
        self._before = self._number

    @property
    def asked(self) -> int:
        """How many times it was asked in this round."""
        return self._number - self._before

    def hear(self, finding: Finding, at: float) -> None:
        """Takes in a finding that is not cut."""
        self._number += 1
        self.broken = finding if finding.breach else self.broken
        name = finding.instance
        if name in self.fresh:
            self._since_new += 1
        else:
            self.fresh.add(name)
            self._since_new = 0
        if name not in self.sightings:
            self.sightings[name] = Sighting(finding, at, at, self._number)
        self.sightings[name].again(finding, at, self._number)

    def present(self) -> Iterator[tuple[int, Sighting]]:
        """Who may still be there, the latest first, and how many answered after each. Who was
        absent from enough answers of the others is gone."""
        latest_first = sorted(self.sightings.values(), key=lambda s: s.number, reverse=True)
        for later, sighting in enumerate(latest_first):
            if later == 0 or self._number - sighting.number < quiet_answers(later):
                yield later, sighting

    def findings(self, now: float) -> list[Finding]:
        """The latest of each instance that may still be there."""
        return [
            one.latest if one.number > self._before else one.as_of(now) for _, one in self.present()
        ]

    def unseen(self) -> int:
        """How many more answers must bring nobody new, before all have been seen."""
        named = self.fresh - {""}
        return quiet_answers(len(self.fresh)) - self._since_new if named else 0

    def unsettled(self, release: str) -> int:
        """How many more answers must pass without those who were wrong in an earlier round. An
        empty release stands for those of this round."""
        right = {release} if release else {self.sightings[n].latest.release for n in self.fresh}
        return max(
            (
                quiet_answers(later) - (self._number - one.number)
                for later, one in self.present()
                if one.number <= self._before and later
                if one.latest.breach or one.latest.release not in right
            ),
            default=0,
        )
