"""What is known of a target over all rounds, so that no verdict comes by luck.

It asks nobody and knows no clock: it takes in each finding and its moment, and says whom to ask
next, what is wrong, and which instances there are.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from petsage.client import Target
from petsage.contract import Breach, Kind
from petsage.printable import ascii_line
from petsage.rollout.plan import RolloutPlan
from petsage.rollout.verdict import EVERY, Finding, judge_instances, judge_releases

BATCH = 16
"""How many requests may be under way at one address."""

MOST_INSTANCES = 1000
"""Whoever shows more in one round, where no number is given, has a new name for every answer. No
more are remembered at an address, unless more are asked for."""

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
    last_at: float = 0.0
    number: int = 0
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
        """By instance; who answered last stands last."""
        self._number = 0
        self.begin()

    def begin(self) -> None:
        """A round begins."""
        self.fresh: set[str] = set()
        """Who has answered in it; those without a name count as one."""
        self.broken: Finding | None = None
        """Its latest answer with a breach, though a good one may have come after it."""
        self.cut: Finding | None = None
        """Why an ask was not answered in time."""
        self._since_new = 0
        self._before = self._number

    @property
    def asked(self) -> int:
        """How many times it was asked in this round."""
        return self._number - self._before

    def hear(self, finding: Finding, at: float, most: int) -> None:
        """Takes in a finding that is not cut; remembers `most` instances."""
        self._number += 1
        self.broken = finding if finding.breach else self.broken
        name = finding.instance
        self._since_new = self._since_new + 1 if name in self.fresh else 0
        self.fresh.add(name)
        sighting = self.sightings.pop(name, None) or Sighting(finding, at)
        sighting.again(finding, at, self._number)
        self.sightings[name] = sighting
        if len(self.sightings) > most:
            del self.sightings[next(iter(self.sightings))]

    def present(self) -> Iterator[tuple[int, Sighting]]:
        """Who may still be there, the latest first, and how many answered after each. Who was
        absent from enough answers of the others is gone."""
        for later, sighting in enumerate(reversed(self.sightings.values())):
            if later == 0 or self._number - sighting.number < quiet_answers(later):
                yield later, sighting

    def findings(self, now: float) -> list[Finding]:
        """The latest of each instance that may still be there."""
        return [
            one.latest if one.number > self._before else one.as_of(now) for _, one in self.present()
        ]

    def row(self, now: float) -> Finding | None:
        """The latest of all, but a broken one first."""
        found = self.findings(now)
        broken = self.broken or next((finding for finding in found if finding.breach), None)
        return broken or (found[0] if found else self.cut)

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


class Record:
    """What is known of a target."""

    def __init__(self, plan: RolloutPlan, target: Target) -> None:
        self.target = target
        self.rows: list[Finding] = []
        """A row for each address, and one for what is wrong with all of them together."""
        self.answers: list[Finding] = []
        """The latest finding of each instance that may still be there, at each address."""
        self.breaches: list[Breach] = []
        """All that was wrong in the latest round, or is not settled yet."""
        self.late: list[str] = []
        """Who has not answered in the latest round, if an earlier answer stands in the row."""
        self.notes: list[str] = []
        """The addresses that appeared and vanished, and in which round."""
        self._plan = plan
        self._places: dict[str, Place] = {}
        self._asked: dict[str, Place] = {}
        self._rounds = self._turn = 0
        self._addresses: tuple[str, ...] = ()

    def begin(self) -> None:
        """A round begins."""
        self._rounds += 1
        self.breaches = []
        for place in self._places.values():
            place.begin()

    def resolved(self, found: tuple[str, ...]) -> None:
        """The target's name has been looked up."""
        if self._plan.every_address:
            self._compare(found)
        self._addresses = found
        self._ask_at(found if self._plan.every_address and found else ("",))

    def _ask_at(self, addresses: tuple[str, ...]) -> None:
        if addresses != tuple(self._asked):
            places = self._places
            self._asked = {address: places.setdefault(address, Place()) for address in addresses}

    def hear(self, finding: Finding, at: float) -> None:
        """Takes in what was found, `at` seconds after the rollout began."""
        if not (finding.address or finding.cut):  # or else its name could not be looked up
            self._ask_at(("",))
        if finding.cut:
            place = self._places.setdefault(finding.address, Place())
            place.cut = place.cut or finding
        elif finding.address in self._asked:
            most = max(MOST_INSTANCES, self._plan.instances)
            self._asked[finding.address].hear(finding, at, most)
        else:
            return  # the address has vanished meanwhile
        if finding.breach:
            self.breaches.append(finding.breach)

    def more(self, batch: int = BATCH) -> list[str]:
        """The addresses to ask next, one as often as it stands there; none ends the round.

        A breach ends it: there is nothing to prove any more.
        """
        if self.breaches:
            return []
        if first := [address for address, place in self._asked.items() if not place.asked]:
            return first
        missing = self._plan.instances and self._plan.instances - len(self._names())
        if missing > 0:
            asked, addresses = self._requests(), list(self._asked)
            number = min(missing, self._plan.requests - asked, batch)
            return [addresses[(asked + turn) % len(addresses)] for turn in range(number)]
        owed = {address: min(self._owed(place), batch) for address, place in self._asked.items()}
        return [address for address, number in owed.items() for _ in range(number)]

    def candidates(self, address: str) -> tuple[str, ...]:
        """Where an ask of this address may connect to: without one to all that its name has, each
        time with another one first."""
        if address:
            return (address,)
        start = self._turn % max(1, len(self._addresses))
        self._turn += 1
        return self._addresses[start:] + self._addresses[:start]

    def _owed(self, place: Place) -> int:
        if len(place.fresh) > MOST_INSTANCES:
            return 0
        unseen = 0 if self._plan.instances else place.unseen()
        return max(0, unseen) or place.unsettled(ascii_line(self._plan.release))

    def _names(self) -> set[str]:
        """The instances that have answered in this round."""
        return set().union(*(place.fresh for place in self._asked.values())) - {""}

    def _requests(self) -> int:
        return sum(place.asked for place in self._asked.values())

    def end(self, now: float) -> None:
        """The round is over: settles what is known by then."""
        self.answers = [found for one in self._asked.values() for found in one.findings(now)]
        asked = self._asked or self._places
        self.rows = [row for one in asked.values() if (row := one.row(now))]
        breach = judge_releases(self.answers, self._plan.release)
        if not self.breaches:
            breach = breach or self._instances_breach()
        if breach:
            self.rows.append(Finding(self.target.url, EVERY, breach))
        self.breaches += [row.breach for row in self.rows if row.breach]
        late = [one.cut for one in self._places.values() if one.cut and one.cut not in self.rows]
        self.late = [f"{found} for {found.seconds or 0:.1f} s" for found in late]

    def _instances_breach(self) -> Breach | None:
        names = self._names()
        if not self._plan.instances and len(names) > MOST_INSTANCES:
            seen = f"{len(names)}, and another one with every few answers"
            expected = "an end, or --instances"
            return Breach(Kind.INCONCLUSIVE, "instances", expected, seen, retryable=False)
        return judge_instances(names, self._requests(), self._plan.instances)

    def seen(self) -> list[Sighting]:
        """Every instance that ever answered."""
        everybody = (one for place in self._places.values() for one in place.sightings.values())
        return sorted((one for one in everybody if one.answers), key=lambda one: one.first_at)

    def _compare(self, found: tuple[str, ...]) -> None:
        """Notes which addresses are new and which are gone since they were looked up last."""
        before, after = dict.fromkeys(self._addresses or found), dict.fromkeys(found)
        changes = [f"{address} appeared" for address in after if address not in before]
        changes += [f"{address} vanished" for address in before if address not in after]
        url = self.target.url
        self.notes += [f"round {self._rounds}: {url}: {change}" for change in changes]
