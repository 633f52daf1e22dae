"""The result of a watch as text and JSON, and the lines that are printed while it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from petsage.contract import Kind
from petsage.json_text import json_line
from petsage.printable import counted
from petsage.rollout.losses import LATE_SECONDS, Losses, Seen
from petsage.rollout.report import WORDS

_SUMS = ("asks", "answered", "lost", "gap", "turn", "latencies", "late_seconds")


def as_text(losses: Losses, kind: Kind, exceeded: str, began: datetime) -> str:
    """The sums, one on each line; the last line is the verdict."""

    def clock(at: float) -> str:
        return f"{began + timedelta(seconds=at):%H:%M:%S.%f}"[:-3]

    lost = ", ".join(f"{count} {loss}" for loss, count in losses.lost.items()) or "0"
    seconds, at, target = losses.gap
    lines = [
        f"{counted(losses.asks, 'ask')}, {losses.answered} answered, lost: {lost}",
        f"longest gap: {seconds:.3f} s from {clock(at)}, {target}",
    ]
    if losses.turn:
        start, end = losses.turn
        lines += [f"two releases answered for {end - start:.1f} s, from {clock(start)}"]
    for word, all_seen in (("release", losses.releases), ("instance", losses.instances)):
        lines += [
            f"{word} {name}: {counted(seen.answers, 'answer')} from {clock(seen.first_at)} to "
            f"{clock(seen.last_at)}, lost around then: {losses.lost_around(seen)}"
            for name, seen in all_seen.items()
        ]
    lines += [
        f"{phase + ' the turn' if losses.turn else 'latency'}: "
        f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, worst {worst * 1000:.0f} ms"
        for phase, (p50, p99, worst) in losses.latencies.items()
    ]
    if losses.late_seconds > LATE_SECONDS:
        lines += [
            f"NOTE these figures are this machine's: asks started {losses.late_seconds * 1000:.0f} "
            "ms late (p99)"
        ]
    lines += [exceeded or f"within bounds; release: {WORDS[kind]}"]
    return "".join(f"{line}\n" for line in lines)


def as_json(losses: Losses, kind: Kind, exceeded: str, began: datetime) -> str:
    """The same as one JSON document; moments are seconds since `began`."""
    verdict = {"verdict": exceeded or "within bounds", "release_verdict": WORDS[kind]}
    sums = {name: getattr(losses, name) for name in _SUMS}
    for word in ("releases", "instances"):
        seen: dict[str, Seen] = getattr(losses, word)
        sums[word] = {
            name: {
                "first": times.first_at,
                "last": times.last_at,
                "answers": times.answers,
                "lost_around": losses.lost_around(times),
            }
            for name, times in seen.items()
        }
    return json_line(verdict | {"began": began.isoformat()} | sums).decode()


@dataclass
class WatchLines:
    """A line a second on a terminal; elsewhere only after a loss, a new release or instance."""

    write: Callable[[str], object]
    terminal: bool
    _known: int = 0

    def __call__(self, now: float, losses: Losses) -> None:
        lost, known = losses.lost.total(), len(losses.releases) + len(losses.instances)
        if self.terminal or lost + known > self._known:
            newest = "/".join(next(reversed(n), "") for n in (losses.releases, losses.instances))
            self.write(f"{now:.0f} s: {losses.asks} asks, {lost} lost, newest: {newest}\n")
        self._known = lost + known
