"""What is known of a target over all rounds, so that no verdict comes by luck.

It asks nobody and knows no clock: it takes in each finding and its moment, and says whom to ask
next, what is wrong, and which instances there are.
"""

from petsage.client import Target
from petsage.contract import Breach, Kind
from petsage.printable import ascii_line
from petsage.rollout.asking import RolloutPlan
from petsage.rollout.sightings import MOST_INSTANCES, Place, Sighting
from petsage.rollout.verdict import EVERY, Finding, judge_instances, judge_releases

BATCH = 16
"""How many requests may be under way at one address."""


class Record:
    """What is known of a target."""

    def __init__(self, plan: RolloutPlan, target: Target) -> None:
        self.target = target
        self.notes: list[str] = []
        """The addresses that appeared and vanished, and in which round."""
        self._plan = plan
        self._places: dict[str, Place] = {}
        self._asked: list[str] = []
        self._rounds = self._turn = 0
        self._addresses: tuple[str, ...] | None = None
        self._breaches: list[Breach] = []
        self._cut: dict[str, Finding] = {}

    def begin(self) -> None:
        """A round begins."""
        self._rounds += 1
        self._breaches, self._cut = [], {}
        for address in self._asked:
            self._places[address].begin()

    def resolved(self, found: tuple[str, ...]) -> None:
        """The target's name has been looked up."""
        if self._plan.every_address:
            self._compare(found)
        self._ask_at(found if self._plan.every_address and found else ("",))

    def _ask_at(self, addresses: tuple[str, ...]) -> None:
        self._asked = list(addresses)
        for address in addresses:
            self._places.setdefault(address, Place()).begin()

    def hear(self, finding: Finding, at: float) -> None:
        """Takes in what was found, `at` seconds after the rollout began."""
        if finding.cut:
            self._cut.setdefault(finding.address, finding)
            return
        if finding.address not in self._asked:  # its name could not be looked up
            self._ask_at((finding.address,))
        self._places[finding.address].hear(finding, at)
        if finding.breach:
            self._breaches.append(finding.breach)

    def more(self, batch: int = BATCH) -> list[str]:
        """The addresses to ask next, one as often as it stands there; none ends the round.

        A breach ends it: there is nothing to prove any more.
        """
        if self._breaches or self._cut:
            return []
        places = [(address, self._places[address]) for address in self._asked]
        if first := [address for address, place in places if not place.asked]:
            return first
        missing = self._plan.instances - len(self._names())
        if self._plan.instances and missing > 0:
            asked = sum(place.asked for _, place in places)
            return self._in_turn(max(0, min(missing, self._plan.requests - asked, batch)))
        return [address for address, place in places for _ in range(min(self._owed(place), batch))]

    def _in_turn(self, number: int) -> list[str]:
        self._turn += number
        length = len(self._asked)
        return [self._asked[turn % length] for turn in range(self._turn - number, self._turn)]

    def _owed(self, place: Place) -> int:
        if len(place.fresh) > MOST_INSTANCES:
            return 0
        release = ascii_line(self._plan.release)
        releases = (
            {release} if release else {place.sightings[n].latest.release for n in place.fresh}
        )
        unseen = 0 if self._plan.instances else place.unseen()
        return max(unseen, place.unsettled(releases))

    def _names(self) -> set[str]:
        """The instances that have answered in this round."""
        return set().union(*(self._places[address].fresh for address in self._asked)) - {""}

    def rows(self, now: float) -> list[Finding]:
        """What is known `now`: a row for each address, and one for what is wrong with all."""
        rows = [self._row(address, now) for address in self._asked or [""]]
        breach = self._release_breach(now)
        if not self._breaches and not self._cut:
            breach = breach or self._instances_breach()
        together = [Finding(self.target.url, EVERY, breach)] if breach else []
        return [*filter(None, rows), *together]

    def _row(self, address: str, now: float) -> Finding | None:
        """The latest finding at an address, but a broken one first."""
        place = self._places.get(address)
        known = place.findings(now) if place else []
        broken = (finding for finding in known if finding.breach)
        return next(broken, known[0] if known else self._cut.get(address))

    def answers(self, now: float) -> list[Finding]:
        """The latest finding of each instance at each address that is asked."""
        places = [self._places[address] for address in self._asked]
        return [finding for place in places for finding in place.findings(now)]

    def _release_breach(self, now: float) -> Breach | None:
        return judge_releases(self.answers(now), self._plan.release)

    def _instances_breach(self) -> Breach | None:
        names = self._names()
        if not self._plan.instances and len(names) > MOST_INSTANCES:
            seen = f"{len(names)}, and another one with every few answers"
            expected = "an end, or --instances"
            return Breach(Kind.INCONCLUSIVE, "instances", expected, seen, retryable=False)
        asked = sum(self._places[address].asked for address in self._asked)
        return judge_instances(names, asked, self._plan.instances)

    def breaches(self, now: float) -> list[Breach]:
        """All that was wrong in the latest round, or is not settled yet."""
        found = [*self._cut.values(), *self.rows(now)]
        return self._breaches + [finding.breach for finding in found if finding.breach]

    def late(self, now: float) -> list[str]:
        """Who has not answered in the latest round, if an earlier answer stands in the row."""
        shown = {row.address for row in self.rows(now) if row.cut}
        late = [found for address, found in self._cut.items() if address not in shown]
        return [f"{found} for {found.seconds or 0:.1f} s" for found in late]

    def seen(self) -> list[Sighting]:
        """Every instance that ever answered."""
        everybody = (one for place in self._places.values() for one in place.sightings.values())
        return [sighting for sighting in everybody if sighting.answers]

    def _compare(self, found: tuple[str, ...]) -> None:
        """Notes which addresses are new and which are gone since they were looked up last."""
        known = found if self._addresses is None else self._addresses
        changes = [f"{address} appeared" for address in found if address not in set(known)]
        changes += [f"{address} vanished" for address in known if address not in set(found)]
        url = self.target.url
        self.notes += [f"round {self._rounds}: {url}: {change}" for change in changes]
        self._addresses = found
