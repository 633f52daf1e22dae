"""What a watch found, as text and JSON; and the one line a second while it runs."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta

from petsage.contract import Kind
from petsage.json_text import json_line
from petsage.rollout.losses import LATE_SECONDS, Losses
from petsage.rollout.report import WORDS
from petsage.rollout.watch import Watch


def as_text(found: Losses, kind: Kind, exceeded: str, began: datetime) -> str:
    """A line for each finding; the last line is the verdict."""

    def clock(at: float) -> str:
        return f"{began + timedelta(seconds=at):%H:%M:%S.%f}"[:-3]

    lost = ", ".join(f"{count} {loss}" for loss, count in found.lost.items()) or "0"
    seconds, at, target = found.gap
    lines = [
        f"{found.asks} asks, {found.answered} answered, lost: {lost}",
        f"longest gap: {seconds:.3f} s from {clock(at)}, {target}",
    ]
    if found.turn:
        first, last = found.turn
        lines += [f"two releases answered for {last - first:.1f} s, from {clock(first)}"]
    for word, all_seen in (("release", found.releases), ("instance", found.instances)):
        lines += [
            f"{word} {name}: {seen.answers} answers from {clock(seen.first)} to "
            f"{clock(seen.last)}, lost around then: {seen.lost_around}"
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
    return json_line(verdict | {"began": began.isoformat()} | asdict(found)).decode()


class Lines:
    """A line a second on a terminal; elsewhere only when a loss or a name is new."""

    def __init__(self, write: Callable[[str], object], terminal: bool) -> None:
        self._write = write
        self._terminal = terminal
        self._read = self._lost = 0
        self._names: dict[str, None] = {}

    def __call__(self, watch: Watch) -> None:
        new = watch.asks[self._read :]  # not all: sums over an hour's asks would make the next late
        lost, names = sum(ask.loss is not None for ask in new), len(self._names)
        self._read, self._lost = self._read + len(new), self._lost + lost
        self._names |= dict.fromkeys(f"{ask.release}/{ask.instance}" for ask in new if ask.release)
        if self._terminal or lost or len(self._names) > names:
            seen = ", ".join(list(self._names)[-5:])
            self._write(
                f"{watch.now():.0f} s: {self._read} asks, {self._lost} lost, seen: {seen}\n"
            )
