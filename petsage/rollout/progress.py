"""The progress of a rollout: lines for a log, a table for a terminal."""

from collections.abc import Callable, Iterable

from petsage.rollout.asking import Progress
from petsage.rollout.report import counted, kept
from petsage.rollout.verdict import Finding

_REDRAW_SECONDS = 0.1


class Lines(Progress):
    """A line after each round in which other addresses fail, or otherwise, than in the last one."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._failing: set[tuple[str, str, str]] = set()

    def round_over(self, number: int, findings: Iterable[Finding]) -> None:
        rows = tuple(findings)
        failing = {
            (row.target, row.address, row.breach.where): f"; {row}: {row.breach}"
            for row in rows
            if row.breach
        }
        if failing.keys() != self._failing:
            self._failing = set(failing)
            self._write(f"round {number}: {kept(rows)}{next(iter(failing.values()), '')}\n")


class Table(Progress):
    """A table on a terminal, broken addresses first, which is drawn over itself."""

    def __init__(
        self,
        write: Callable[[str], object],
        size: Callable[[], tuple[int, int]],
        now: Callable[[], float],
    ) -> None:
        """`size` returns the terminal's columns and lines, `now` the time in seconds."""
        self._write = write
        self._size = size
        self._now = now
        self._rows: dict[tuple[str, str], Finding] = {}
        self._drawn = 0
        self._drawn_at = float("-inf")
        self._rounds = 0

    def found(self, finding: Finding) -> None:
        if finding.address:  # the target's name has been looked up
            self._rows.pop((finding.target, ""), None)
        if not finding.cut or (finding.target, finding.address) not in self._rows:
            self._rows[finding.target, finding.address] = finding
        self.idle()

    def idle(self) -> None:
        if self._now() - self._drawn_at >= _REDRAW_SECONDS:
            self._draw()

    def round_over(self, number: int, findings: Iterable[Finding]) -> None:
        self._rounds = number
        self._rows = {(row.target, row.address): row for row in findings}
        self._draw()

    def _draw(self) -> None:
        columns, lines = self._size()
        rows = sorted(self._rows.values(), key=lambda row: row.breach is None)
        drawn = [f"{counted(self._rounds, 'round')} over, {kept(rows)}"]
        drawn += map(_table_line, rows[: max(1, lines - 3)])
        over = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
        self._write(over + "".join(f"{line[: columns - 1]}\n" for line in drawn))
        self._drawn, self._drawn_at = len(drawn), self._now()


def _table_line(row: Finding) -> str:
    if row.breach:
        return f"  {'...   ' if row.cut else 'FAIL  '}{row}: {row.breach}"
    release, instance = row.release or "none", row.instance or "none"
    return f"  ok    {row}  release {release}  instance {instance}  {row.seconds or 0:.3f} s"
