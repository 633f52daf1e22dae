"""What users lost while a release was rolled out, as sums over asks. Nothing here asks or prints.

Moments are seconds since the watch began. Asks are not kept, so a watch of hours takes little
memory. The turn is the time in which two releases answer.
"""

import enum
import math
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from petsage.client import Target
from petsage.rollout.verdict import Finding

LATE_SECONDS = 0.02
"""If asks start later than this (p99), the figures describe this machine, not the service."""

AROUND_SECONDS = 1
"""An ask that is lost within this time of an instance's first or last answer counts as lost around
that instance; the same for a release."""

MOST_NAMES = 100
"""How many releases, and how many instances, are counted by name, since a server may invent a name
for each answer. Those that come later are counted together, as "others"."""


class Loss(enum.StrEnum):
    """How an ask was lost."""

    REFUSED = "refused"
    """There was no connection."""
    RESET = "reset"
    """The connection ended before the first byte of an answer."""
    CUT = "cut"
    """The connection ended within the answer."""
    TIMED_OUT = "timed out"
    SERVER = "5xx"
    LIMITED = "rate-limited"
    """Answered 429: asked faster than the service allows, as it may be by the watch itself."""
    WRONG = "wrong"
    """The answer breaks the contract."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One ask and its outcome."""

    target: Target
    due: float
    """When it had to start, even if asks before it were still under way."""
    late_seconds: float
    """How much later than that it started."""
    ended: float
    finding: Finding
    loss: Loss | None = None


@dataclass(slots=True)
class Seen:
    """When a release or an instance answered first and last, and how often."""

    first_at: float
    last_at: float
    answers: int = 0


class Losses:
    """Sums over asks, which are added in the order in which they ended."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self.asks = 0
        self.lost = Counter[Loss]()
        self.releases: dict[str, Seen] = {}
        """By name, in the order of their first answers; `instances` too."""
        self.instances: dict[str, Seen] = {}
        self.good_at = dict.fromkeys(targets, 0.0)
        """When each target gave its last good answer; 0 if it gave none."""
        self.asked_until = math.inf
        """When the asking ended, and with it every gap."""
        self._lost_at = array("d")
        self._gap = (0.0, 0.0, "")
        # How many asks there were of each duration, in steps of a tenth of a millisecond.
        self._late = Counter[float]()
        self._latencies = {phase: Counter[float]() for phase in ("before", "during", "after")}

    def add(self, ask: Ask) -> None:
        """Counts an ask that is over."""
        self.asks += 1
        self._late[round(ask.late_seconds, 4)] += 1
        latencies = self._phase(ask.finding.release)
        _count(self.releases, ask.finding.release, ask.ended)
        _count(self.instances, ask.finding.instance, ask.ended)
        if ask.loss:
            self.lost[ask.loss] += 1
            self._lost_at.append(ask.ended)
        else:
            latencies[round(ask.ended - ask.due, 4)] += 1
            began, ended = self.good_at[ask.target], min(ask.ended, self.asked_until)
            self.good_at[ask.target] = ended
            self._gap = max(self._gap, (ended - began, began, ask.target.url))

    def _phase(self, release: str) -> Counter[float]:
        """The latencies to which an answer of this release belongs; it may prolong the turn."""
        before, during, after = self._latencies.values()
        if not self.releases:
            return before
        if release and release not in self.releases:  # a turn begins, perhaps not the first one
            _move(during, before)
            _move(after, before)
            return during
        if release and release != next(reversed(self.releases)):
            _move(after, during)
            return during
        return after if len(self.releases) > 1 else before

    @property
    def answered(self) -> int:
        """How many asks got a good answer."""
        return self.asks - self.lost.total()

    @property
    def gap(self) -> tuple[float, float, str]:
        """The longest time without a good answer of one target: seconds, its beginning, the URL."""
        open_gaps = [(self.asked_until - at, at, to.url) for to, at in self.good_at.items()]
        return max([self._gap, *open_gaps])

    @property
    def turn(self) -> tuple[float, float] | None:
        """From the first answer of the newest release to the last answer of any other."""
        if len(self.releases) < 2:
            return None
        *others, newest = self.releases.values()
        return newest.first_at, max(newest.first_at, *(seen.last_at for seen in others))

    @property
    def latencies(self) -> dict[str, tuple[float, float, float]]:
        """p50, p99 and worst of the good answers before, during and after the turn. A latency
        begins when its ask was due, as the wait of a user does."""
        ranked = {phase: sorted(one.elements()) for phase, one in self._latencies.items()}
        return {p: (_rank(s, 0.5), _rank(s, 0.99), s[-1]) for p, s in ranked.items() if s}

    @property
    def late_seconds(self) -> float:
        """How late asks started (p99)."""
        return _rank(sorted(self._late.elements()), 0.99)

    def lost_around(self, seen: Seen) -> int:
        """How many asks were lost within `AROUND_SECONDS` of the first or the last answer."""
        around: set[int] = set()
        for at in (seen.first_at, seen.last_at):
            start = bisect_left(self._lost_at, at - AROUND_SECONDS)
            around |= set(range(start, bisect_right(self._lost_at, at + AROUND_SECONDS)))
        return len(around)


def _count(names: dict[str, Seen], name: str, at: float) -> None:
    if name:
        name = name if name in names or len(names) < MOST_NAMES else "others"
        seen = names.setdefault(name, Seen(at, at))
        seen.last_at, seen.answers = at, seen.answers + 1


def _move(source: Counter[float], to: Counter[float]) -> None:
    to.update(source)
    source.clear()


def _rank(ascending: list[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value such that at least this share of all values
    are less than or equal to it; 0 if there are none."""
    return ascending[math.ceil(share * len(ascending)) - 1] if ascending else 0.0
