"""What a watch found, as text and JSON; and the one line a second while it runs."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from petsage.contract import Kind
from petsage.json_text import json_line
from petsage.rollout.losses import LATE_SECONDS, Losses, Seen
from petsage.rollout.report import WORDS, counted

_SUMS = ("asks", "answered", "lost", "gap", "turn", "latencies", "late_seconds")


def as_text(found: Losses, kind: Kind, exceeded: str, began: datetime) -> str:
    """A line for each finding; the last line is the verdict."""

    def clock(at: float) -> str:
        return f"{began + timedelta(seconds=at):%H:%M:%S.%f}"[:-3]

    lost = ", ".join(f"{count} {loss}" for loss, count in found.lost.items()) or "0"
    seconds, at, target = found.gap
    lines = [
        f"{counted(found.asks, 'ask')}, {found.answered} answered, lost: {lost}",
        f"longest gap: {seconds:.3f} s from {clock(at)}, {target}",
    ]
    if found.turn:
        first, last = found.turn
        lines += [f"two releases answered for {last - first:.1f} s, from {clock(first)}"]
    for word, all_seen in (("release", found.releases), ("instance", found.instances)):
        lines += [
            f"{word} {name}: {counted(seen.answers, 'answer')} from {clock(seen.first)} to "
            f"{clock(seen.last)}, lost around then: {found.lost_around(seen)}"
            for name, seen in all_seen.items()
        ]
    lines += [
        f"{phase + ' the turn' if found.turn else 'latency'}: "
        f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, worst {worst * 1000:.0f} ms"
        for phase, (p50, p99, worst) in found.latencies.items()
    ]
    if found.late_seconds > LATE_SECONDS:
        lines += [
            f"NOTE these figures are this machine's: asks started {found.late_seconds * 1000:.0f} "
            "ms late (p99)"
        ]
    lines += [exceeded or f"within bounds; release: {WORDS[kind]}"]
    return "".join(f"{line}\n" for line in lines)


def as_json(found: Losses, kind: Kind, exceeded: str, began: datetime) -> str:
    """The same as one document; moments are seconds since `began`."""
    verdict = {"verdict": exceeded or "within bounds", "release_verdict": WORDS[kind]}
    sums = {name: getattr(found, name) for name in _SUMS}
    for word in ("releases", "instances"):
        seen: dict[str, Seen] = getattr(found, word)
        sums[word] = {
            name: asdict(one) | {"lost_around": found.lost_around(one)}
            for name, one in seen.items()
        }
    return json_line(verdict | {"began": began.isoformat()} | sums).decode()


@dataclass
class Lines:
    """A line a second on a terminal; elsewhere only when a loss or a name is new."""

    write: Callable[[str], object]
    terminal: bool
    _known: int = 0

    def __call__(self, now: float, found: Losses) -> None:
        lost, known = found.lost.total(), len(found.releases) + len(found.instances)
        if self.terminal or lost + known > self._known:
            newest = "/".join(next(reversed(n), "") for n in (found.releases, found.instances))
            self.write(f"{now:.0f} s: {found.asks} asks, {lost} lost, newest: {newest}\n")
        self._known = lost + known
