"""What users lost while a release was rolled out: sums over asks. Nothing here asks or prints.

Moments are seconds since the watch began.
"""

import enum
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

LATE_SECONDS = 0.02
"""If asks start later than this (p99), the figures say more of this machine than of the service."""

AROUND_SECONDS = 1
"""What is lost this long before or after an instance's first or last answer is counted with it."""


class Loss(enum.StrEnum):
    """How an ask is lost."""

    REFUSED = "refused"
    """There was no connection."""
    RESET = "reset"
    """The connection ended before the first byte of an answer."""
    CUT = "cut"
    """The connection ended within the answer."""
    TIMED_OUT = "timed out"
    SERVER = "5xx"
    WRONG = "wrong"
    """Answered, but not as the contract has it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One ask, and what came of it."""

    target: str
    due: float
    """When it had to start, whatever became of the asks before it."""
    late_seconds: float
    """How much later it started."""
    ended: float
    loss: Loss | None = None
    release: str = ""
    instance: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """When a release or an instance answered, and what was lost around then."""

    first: float
    last: float
    answers: int
    lost_around: int


@dataclass(frozen=True, slots=True)
class Losses:
    """What was lost, and around what."""

    asks: int
    answered: int
    """How many of them got a good answer."""
    lost: Mapping[Loss, int]
    gap: tuple[float, float, str]
    """The longest time without a good answer: seconds, the moment it began, the target."""
    turn: tuple[float, float] | None
    """From the first answer of the release that came last to the last answer of any other."""
    releases: Mapping[str, Seen]
    instances: Mapping[str, Seen]
    latencies: Mapping[str, tuple[float, float, float]]
    """p50, p99 and worst of the good answers before, during and after the turn. Each begins when
    its ask was due: so long waits a user who comes on time."""
    late_seconds: float
    """How late asks started (p99)."""


def losses(asks: Iterable[Ask], until: float) -> Losses:
    """Sums up all asks that began by `until`: a gap ends then, since nobody asks any more."""
    asks = sorted(asks, key=lambda ask: ask.ended)
    good = [ask for ask in asks if ask.loss is None]
    lost_at = [ask.ended for ask in asks if ask.loss]
    releases = _seen([(ask.release, ask.ended) for ask in asks], lost_at)
    turn = _turn(releases)
    return Losses(
        asks=len(asks),
        answered=len(good),
        lost=dict(Counter(ask.loss for ask in asks if ask.loss)),
        gap=max(_gaps(asks, until), default=(until, 0.0, "")),
        turn=turn,
        releases=releases,
        instances=_seen([(ask.instance, ask.ended) for ask in asks], lost_at),
        latencies=_latencies(good, turn),
        late_seconds=_rank(sorted(ask.late_seconds for ask in asks), 0.99),
    )


def _seen(answers: Iterable[tuple[str, float]], lost_at: Sequence[float]) -> dict[str, Seen]:
    moments: dict[str, list[float]] = {}
    for name, at in answers:
        if name:
            moments.setdefault(name, []).append(at)
    return {
        name: Seen(at[0], at[-1], len(at), _lost_around(lost_at, at[0], at[-1]))
        for name, at in moments.items()
    }


def _lost_around(lost_at: Sequence[float], *moments: float) -> int:
    around: set[int] = set()
    for moment in moments:
        start = bisect_left(lost_at, moment - AROUND_SECONDS)
        around |= set(range(start, bisect_right(lost_at, moment + AROUND_SECONDS)))
    return len(around)


def _turn(releases: Mapping[str, Seen]) -> tuple[float, float] | None:
    if len(releases) < 2:
        return None
    *others, newest = sorted(releases.values(), key=lambda seen: seen.first)
    return newest.first, max(newest.first, *(seen.last for seen in others))


def _gaps(asks: Sequence[Ask], until: float) -> Iterable[tuple[float, float, str]]:
    for target in dict.fromkeys(ask.target for ask in asks):
        good = (ask.ended for ask in asks if ask.target == target and ask.loss is None)
        for before, after in pairwise([0.0, *(at for at in good if at < until), until]):
            yield after - before, before, target


def _latencies(
    good: Iterable[Ask], turn: tuple[float, float] | None
) -> dict[str, tuple[float, float, float]]:
    first, last = turn or (math.inf, math.inf)
    phases: dict[str, list[float]] = {}
    for ask in good:
        phase = "before" if ask.ended < first else "during" if ask.ended <= last else "after"
        phases.setdefault(phase, []).append(ask.ended - ask.due)
    ranked = {phase: sorted(seconds) for phase, seconds in phases.items()}
    return {p: (_rank(s, 0.5), _rank(s, 0.99), s[-1]) for p, s in ranked.items()}


def _rank(ascending: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest one that such a share does not exceed."""
    return ascending[math.ceil(share * len(ascending)) - 1] if ascending else 0.0
