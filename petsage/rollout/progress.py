"""The progress of a rollout: lines for a log, a table for a terminal."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from petsage.printable import counted
from petsage.rollout.asking import Progress
from petsage.rollout.report import kept
from petsage.rollout.verdict import Finding

_REFRESH_SECONDS = 0.1


@dataclass
class RoundLines(Progress):
    """A line after each round whose failures are not the same as those of the round before."""

    write: Callable[[str], object]
    _failing: set[tuple[str, str, str]] = field(default_factory=set)

    def round_over(self, number: int, findings: Iterable[Finding]) -> None:
        rows = tuple(findings)
        failing = {
            (row.target, row.address, row.breach.where): f"; {row}: {row.breach}"
            for row in rows
            if row.breach
        }
        if failing.keys() != self._failing:
            self._failing = set(failing)
            self.write(f"round {number}: {kept(rows)}{next(iter(failing.values()), '')}\n")


@dataclass
class Table(Progress):
    """A table on a terminal, written again in place, with the failing addresses first."""

    write: Callable[[str], object]
    size: Callable[[], tuple[int, int]]
    """Returns the terminal's columns and lines."""
    now: Callable[[], float]
    _rows: dict[tuple[str, str], Finding] = field(default_factory=dict)
    _height: int = 0
    _written_at: float = float("-inf")
    _rounds: int = 0

    def found(self, finding: Finding) -> None:
        if finding.address:  # the target's name has been looked up
            self._rows.pop((finding.target, ""), None)
        if not finding.pending or (finding.target, finding.address) not in self._rows:
            self._rows[finding.target, finding.address] = finding
        self.idle()

    def idle(self) -> None:
        if self.now() - self._written_at >= _REFRESH_SECONDS:
            self._refresh()

    def round_over(self, number: int, findings: Iterable[Finding]) -> None:
        self._rounds = number
        self._rows = {(row.target, row.address): row for row in findings}
        self._refresh()

    def _refresh(self) -> None:
        columns, lines = self.size()
        rows = sorted(self._rows.values(), key=lambda row: row.breach is None)
        table = [f"{counted(self._rounds, 'round')} over, {kept(rows)}"]
        table += map(_table_line, rows[: max(1, lines - 3)])
        over = f"\x1b[{self._height}F\x1b[J" if self._height else ""
        self.write(over + "".join(f"{line[: columns - 1]}\n" for line in table))
        self._height, self._written_at = len(table), self.now()


def _table_line(row: Finding) -> str:
    if row.breach:
        return f"  {'...   ' if row.pending else 'FAIL  '}{row}: {row.breach}"
    release, instance = row.release or "none", row.instance or "none"
    return f"  ok    {row}  release {release}  instance {instance}  {row.seconds or 0:.3f} s"
