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
        self._addresses: tuple[str, ...] | None = None
        self._cut: dict[str, Finding] = {}

    def begin(self) -> None:
        """A round begins."""
        self._rounds += 1
        self.breaches, self._cut = [], {}
        for place in self._asked.values():
            place.begin()

    def resolved(self, found: tuple[str, ...]) -> None:
        """The target's name has been looked up."""
        if self._plan.every_address:
            self._compare(found)
        self._ask_at(found if self._plan.every_address and found else ("",))

    def _ask_at(self, addresses: tuple[str, ...]) -> None:
        self._asked = {address: self._places.setdefault(address, Place()) for address in addresses}
        for place in self._asked.values():
            place.begin()

    def hear(self, finding: Finding, at: float) -> None:
        """Takes in what was found, `at` seconds after the rollout began."""
        if finding.breach:
            self.breaches.append(finding.breach)
        if finding.cut:
            self._cut.setdefault(finding.address, finding)
            return
        if finding.address not in self._asked:  # its name could not be looked up
            self._ask_at((finding.address,))
        self._asked[finding.address].hear(finding, at)

    def more(self, batch: int = BATCH) -> list[str]:
        """The addresses to ask next, one as often as it stands there; none ends the round.

        A breach ends it: there is nothing to prove any more.
        """
        if self.breaches:
            return []
        if first := [address for address, place in self._asked.items() if not place.asked]:
            return first
        missing = self._plan.instances - len(self._names())
        if self._plan.instances and missing > 0:
            return self._in_turn(
                max(0, min(missing, self._plan.requests - self._requests(), batch))
            )
        owed = {address: min(self._owed(place), batch) for address, place in self._asked.items()}
        return [address for address, number in owed.items() for _ in range(number)]

    def _in_turn(self, number: int) -> list[str]:
        addresses = list(self._asked)
        self._turn += number
        turns = range(self._turn - number, self._turn)
        return [addresses[turn % len(addresses)] for turn in turns]

    def _owed(self, place: Place) -> int:
        if len(place.fresh) > MOST_INSTANCES:
            return 0
        unseen = 0 if self._plan.instances else place.unseen()
        return max(unseen, place.unsettled(ascii_line(self._plan.release)))

    def _names(self) -> set[str]:
        """The instances that have answered in this round."""
        return set().union(*(place.fresh for place in self._asked.values())) - {""}

    def _requests(self) -> int:
        return sum(place.asked for place in self._asked.values())

    def end(self, now: float) -> None:
        """The round is over: settles what is known by then."""
        known = {address: place.findings(now) for address, place in self._asked.items()}
        self.answers = [finding for findings in known.values() for finding in findings]
        rows = {**self._cut, **{address: _row(found) for address, found in known.items() if found}}
        rows |= {address: one.broken for address, one in self._asked.items() if one.broken}
        self.rows = [rows[address] for address in self._asked or rows if address in rows]
        breach = judge_releases(self.answers, self._plan.release)
        if not self.breaches:
            breach = breach or self._instances_breach()
        if breach:
            self.rows.append(Finding(self.target.url, EVERY, breach))
        self.breaches += [row.breach for row in self.rows if row.breach]
        shown = {row.address for row in self.rows if row.cut}
        late = [found for address, found in self._cut.items() if address not in shown]
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
        return [sighting for sighting in everybody if sighting.answers]

    def _compare(self, found: tuple[str, ...]) -> None:
        """Notes which addresses are new and which are gone since they were looked up last."""
        before, after = dict.fromkeys(self._addresses or found), dict.fromkeys(found)
        changes = [f"{address} appeared" for address in after if address not in before]
        changes += [f"{address} vanished" for address in before if address not in after]
        url = self.target.url
        self.notes += [f"round {self._rounds}: {url}: {change}" for change in changes]
        self._addresses = found


def _row(findings: list[Finding]) -> Finding:
    """The latest one, but a broken one first."""
    return next((finding for finding in findings if finding.breach), findings[0])
