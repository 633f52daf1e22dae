"""What is known of a target over all rounds, so that no verdict comes by luck.

It asks nobody and has no clock: it is given each finding with its moment, and says which addresses
to ask next, what is wrong, and which instances there are.
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
"""A target that shows more in one round, where no number was asked for, has a new name for every
answer. No more are remembered at an address, unless more are asked for."""

_ONE_MISS_IN = 100_000
"""At most one rollout in so many overlooks an instance."""


@lru_cache(maxsize=MOST_INSTANCES + 1)
def quiet_answers(instances: int) -> int:
    """How many answers in a row must come from these n instances alone, until no other is expected.

    If there is one more, and the balancer picks at random, m answers miss it with a chance of
    (n/(n+1))^m. From four instances on, n·(ln n + 12) answers bring that below 1 in 100,000; fewer
    instances need a few answers more. With a balancer that takes turns, one turn is enough.
    """
    n = instances
    return math.ceil(max(n * (math.log(n) + 12), math.log(_ONE_MISS_IN) / math.log1p(1 / n)))


def turned(addresses: tuple[str, ...], turn: int) -> tuple[str, ...]:
    """All of the addresses in their order, beginning in each turn with the next one."""
    start = turn % max(1, len(addresses))
    return addresses[start:] + addresses[:start]


@dataclass(slots=True)
class Sighting:
    """An instance as it was seen at one address. All that have no name count as one."""

    latest: Finding
    first_at: float
    """In seconds since the rollout began, as `last_at`."""
    last_at: float = 0.0
    number: int = 0
    """The number of its latest finding among all findings at its address."""
    answers: int = 0
    breaches: int = 0
    releases: Counter[str] = field(default_factory=Counter)

    def add(self, finding: Finding, at: float, number: int) -> None:
        """Counts a finding of this instance."""
        self.latest, self.last_at, self.number = finding, at, number
        self.answers += finding.status is not None
        self.breaches += finding.breach is not None
        if finding.release:
            self.releases[finding.release] += 1

    def as_of(self, now: float) -> Finding:
        """Its latest finding, which comes from an earlier round and says how old it is."""
        ago = now - self.last_at
        breach = self.latest.breach
        if breach:
            who = f" from instance {self.latest.instance}" if self.latest.instance else ""
            breach = replace(breach, seen=f"{breach.seen}{who}, last seen {ago:.1f} s ago")
        return replace(self.latest, breach=breach, seconds_ago=ago)


class AddressRecord:
    """What is known of one address of a target."""

    def __init__(self) -> None:
        self.sightings: dict[str, Sighting] = {}
        """By instance; the one that answered last stands last."""
        self._number = 0
        self.begin()

    def begin(self) -> None:
        """A round begins."""
        self.names: set[str] = set()
        """The instances that have answered in it; "" stands for those without a name."""
        self.broken: Finding | None = None
        """The latest finding with a breach; a good one may have come after it."""
        self.pending: Finding | None = None
        """The first finding that says that an ask was not answered in time."""
        self._since_new = 0
        self._before = self._number

    @property
    def asked(self) -> int:
        """How many times it was asked in this round."""
        return self._number - self._before

    def add(self, finding: Finding, at: float, most: int) -> None:
        """Counts a finding that is not `pending`; remembers the last `most` instances."""
        self._number += 1
        self.broken = finding if finding.breach else self.broken
        name = finding.instance
        self._since_new = self._since_new + 1 if name in self.names else 0
        self.names.add(name)
        sighting = self.sightings.pop(name, None) or Sighting(finding, at)
        sighting.add(finding, at, self._number)
        self.sightings[name] = sighting
        if len(self.sightings) > most:
            del self.sightings[next(iter(self.sightings))]

    def present(self) -> Iterator[tuple[int, Sighting]]:
        """The instances that may still be there, the latest first, and how many answered after
        each. One that was absent from enough answers of the others is gone."""
        for later, sighting in enumerate(reversed(self.sightings.values())):
            if later == 0 or self._number - sighting.number < quiet_answers(later):
                yield later, sighting

    def findings(self, now: float) -> list[Finding]:
        """The latest of each instance that may still be there."""
        return [
            sighting.latest if sighting.number > self._before else sighting.as_of(now)
            for _, sighting in self.present()
        ]

    def row(self, now: float) -> Finding | None:
        """The finding that stands for this address: one with a breach, or else the latest."""
        findings = self.findings(now)
        broken = self.broken or next((finding for finding in findings if finding.breach), None)
        return broken or (findings[0] if findings else self.pending)

    def until_all_seen(self) -> int:
        """How many more answers must bring no new instance, until all count as seen."""
        named = self.names - {""}
        return quiet_answers(len(self.names)) - self._since_new if named else 0

    def until_settled(self, release: str) -> int:
        """How many more answers must come from others, until each instance that was wrong in an
        earlier round, and has not answered in this one, counts as gone.

        Without a release, those that were seen in this round are right.
        """
        right = {release} if release else {self.sightings[n].latest.release for n in self.names}
        return max(
            (
                quiet_answers(later) - (self._number - sighting.number)
                for later, sighting in self.present()
                if sighting.number <= self._before and later
                if sighting.latest.breach or sighting.latest.release not in right
            ),
            default=0,
        )


class TargetRecord:
    """What is known of a target."""

    def __init__(self, plan: RolloutPlan, target: Target) -> None:
        self.target = target
        self.rows: list[Finding] = []
        """A row for each address, and one more if something is wrong with all of them together."""
        self.answers: list[Finding] = []
        """The latest finding of each instance that may still be there, at each address."""
        self.breaches: list[Breach] = []
        """All that was wrong in the latest round, or in an earlier one and is not settled yet."""
        self.late: list[str] = []
        """The addresses that have not answered in the latest round while their row shows an
        earlier answer, and how long each has been waited for."""
        self.notes: list[str] = []
        """The addresses that appeared and vanished, and in which round."""
        self._plan = plan
        self._known: dict[str, AddressRecord] = {}
        """By address, all that there ever were; by "" if the addresses are not asked one by one."""
        self._asked: dict[str, AddressRecord] = {}
        """Those of them that are asked now."""
        self._rounds = self._turn = 0
        self._addresses: tuple[str, ...] = ()

    def begin(self) -> None:
        """A round begins."""
        self._rounds += 1
        self.breaches = []
        for known in self._known.values():
            known.begin()

    def resolved(self, addresses: tuple[str, ...]) -> None:
        """The target's name has been looked up."""
        if self._plan.every_address:
            self._note_changes(addresses)
        self._addresses = addresses
        self._ask_at(addresses if self._plan.every_address and addresses else ("",))

    def _ask_at(self, addresses: tuple[str, ...]) -> None:
        if addresses != tuple(self._asked):
            known = self._known
            self._asked = {a: known.setdefault(a, AddressRecord()) for a in addresses}

    def add(self, finding: Finding, at: float) -> None:
        """Counts a finding, `at` seconds after the rollout began."""
        if not (finding.address or finding.pending):  # it may say that the name does not resolve
            self._ask_at(("",))
        if finding.pending:
            known = self._known.setdefault(finding.address, AddressRecord())
            known.pending = known.pending or finding
        elif finding.address in self._asked:
            most = max(MOST_INSTANCES, self._plan.instances)
            self._asked[finding.address].add(finding, at, most)
        else:
            return  # the address has vanished meanwhile
        if finding.breach:
            self.breaches.append(finding.breach)

    def to_ask(self, batch: int = BATCH) -> list[str]:
        """The addresses to ask next, each as often as it is in the list; none if the round is over.

        A breach ends the round: there is nothing left to prove in it.
        """
        if self.breaches:
            return []
        if unasked := [address for address, known in self._asked.items() if not known.asked]:
            return unasked
        missing = self._plan.instances and self._plan.instances - len(self._names())
        if missing > 0:
            asked, addresses = self._requests(), list(self._asked)
            number = min(missing, self._plan.max_requests - asked, batch)
            return [addresses[(asked + turn) % len(addresses)] for turn in range(number)]
        needed = {
            address: min(self._needed(known), batch) for address, known in self._asked.items()
        }
        return [address for address, number in needed.items() for _ in range(number)]

    def candidates(self, address: str) -> tuple[str, ...]:
        """The addresses that an ask may connect to, in the order to try them: this one; or if it is
        empty all that the name resolves to, each time beginning with another one."""
        if address:
            return (address,)
        self._turn += 1
        return turned(self._addresses, self._turn)

    def _needed(self, known: AddressRecord) -> int:
        """How many more answers this address must give in this round."""
        if len(known.names) > MOST_INSTANCES:
            return 0
        unseen = 0 if self._plan.instances else known.until_all_seen()
        return max(0, unseen) or known.until_settled(ascii_line(self._plan.release))

    def _names(self) -> set[str]:
        """The instances that have answered in this round."""
        return set().union(*(known.names for known in self._asked.values())) - {""}

    def _requests(self) -> int:
        return sum(known.asked for known in self._asked.values())

    def end(self, now: float) -> None:
        """The round is over: judges what is known by then."""
        self.answers = [answer for known in self._asked.values() for answer in known.findings(now)]
        asked = self._asked or self._known
        self.rows = [row for known in asked.values() if (row := known.row(now))]
        breach = judge_releases(self.answers, self._plan.release)
        if not self.breaches:
            breach = breach or self._instances_breach()
        if breach:
            self.rows.append(Finding(self.target.url, EVERY, breach))
        self.breaches += [row.breach for row in self.rows if row.breach]
        pending = [known.pending for known in self._known.values() if known.pending]
        late = [finding for finding in pending if finding not in self.rows]
        self.late = [f"{finding} for {finding.seconds or 0:.1f} s" for finding in late]

    def _instances_breach(self) -> Breach | None:
        names = self._names()
        if not self._plan.instances and len(names) > MOST_INSTANCES:
            seen = f"{len(names)}, and a new one every few answers"
            expected = "a fixed number, or --instances"
            return Breach(Kind.INCONCLUSIVE, "instances", expected, seen, retryable=False)
        return judge_instances(names, self._requests(), self._plan.instances)

    def seen(self) -> list[Sighting]:
        """Every instance that ever answered."""
        sightings = (seen for known in self._known.values() for seen in known.sightings.values())
        return sorted((seen for seen in sightings if seen.answers), key=lambda seen: seen.first_at)

    def _note_changes(self, addresses: tuple[str, ...]) -> None:
        """Notes which addresses are new, and which are gone, since the last look-up."""
        before, after = dict.fromkeys(self._addresses or addresses), dict.fromkeys(addresses)
        changes = [f"{address} appeared" for address in after if address not in before]
        changes += [f"{address} vanished" for address in before if address not in after]
        url = self.target.url
        self.notes += [f"round {self._rounds}: {url}: {change}" for change in changes]
