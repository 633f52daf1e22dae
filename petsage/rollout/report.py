"""What people, machines and pipelines are told of a rollout.

Whatever a server said is one line of printable ASCII by now (`rollout_verdict.shown`); what else a
format cannot bear is escaped here.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from petsage.rollout.rounds import Outcome, Watcher
from petsage.rollout.verdict import EVERY, Breach, Kind, Row, instances

WORDS = {
    Kind.PROVEN: "proven",
    Kind.WRONG: "answered but wrong",
    Kind.UNREACHED: "no valid connection",
    Kind.RELEASE: "wrong or mixed release",
    Kind.INCONCLUSIVE: "inconclusive",
    Kind.INTERRUPTED: "interrupted",
}

_NOT_ENDED = Breach(Kind.INTERRUPTED, "run", "an end", "none yet", heals=True)
_REDRAW_SECONDS = 0.1


def breach_lines(outcome: Outcome) -> list[str]:
    """A line for each breach."""
    lines = [f"{row}: {row.breach}" for row in outcome.rows if row.breach]
    return lines + ([str(outcome.breach)] if outcome.breach else [])


def as_text(outcome: Outcome) -> str:
    """A line for each breach and each change of addresses, and what comes of it all at the end."""
    lines = [f"FAIL {line}" for line in breach_lines(outcome)]
    lines += [f"NOTE {note}" for note in outcome.notes]
    return "".join(f"{line}\n" for line in [*lines, _summary(outcome)])


def _summary(outcome: Outcome) -> str:
    releases = Counter(row.release for row in outcome.answers if row.release)
    told = [
        f"{WORDS[outcome.kind]}: {_kept(outcome.rows)}",
        *(f"release {release} ({count})" for release, count in releases.most_common(5)),
        _count(len(instances(outcome.answers)), "instance"),
        _count(outcome.requests, "request"),
        _count(outcome.passes, "pass", "passes"),
        f"{outcome.seconds:.1f} s",
    ]
    return ", ".join(told)


def _kept(rows: Iterable[Row]) -> str:
    """What is said of all addresses together is a breach of none of them."""
    asked = [row for row in rows if row.address != EVERY]
    return f"{sum(row.breach is None for row in asked)} of {len(asked)} keep the contract"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def as_json(outcome: Outcome) -> str:
    """The same for a machine, as one line."""
    data = {
        "verdict": WORDS[outcome.kind],
        "exit_code": outcome.kind,
        "breach": _breach_data(outcome.breach),
        "rows": [asdict(row) | {"breach": _breach_data(row.breach)} for row in outcome.rows],
        "releases": Counter(row.release for row in outcome.answers if row.release),
        "instances": sorted(instances(outcome.answers)),
        "notes": outcome.notes,
        "requests": outcome.requests,
        "passes": outcome.passes,
        "seconds": round(outcome.seconds, 3),
    }
    return json.dumps(data) + "\n"


def _breach_data(breach: Breach | None) -> dict[str, Any] | None:
    return asdict(breach) | {"kind": WORDS[breach.kind]} if breach else None


def as_junit(outcome: Outcome | None) -> bytes:
    """A JUnit document with a case for each row and one for the whole.

    Of no outcome, what should stand in the file while there is none: a run that is killed must
    not leave the document of the run before.
    """
    suite = ET.Element("testsuite", name="petsage smoke-test")
    whole = outcome.breach if outcome else _NOT_ENDED
    cases = (
        [_case(row.target, row.address or "answer", row) for row in outcome.rows] if outcome else []
    )
    cases.append(_case("petsage smoke-test", "rollout", Row("", breach=whole)))
    suite.extend(cases)
    failures = sum(len(case) for case in cases)
    suite.attrib |= {"tests": str(len(cases)), "failures": str(failures), "errors": "0"}
    if outcome:
        suite.set("time", f"{outcome.seconds:.3f}")
        ET.SubElement(suite, "system-out").text = as_text(outcome)
    document: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def write_junit(path: Path, outcome: Outcome | None) -> None:
    """All at once: who reads the file finds the one document or the other. Raises `OSError`."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(as_junit(outcome))
    beside.replace(path)


def _case(classname: str, name: str, row: Row) -> ET.Element:
    seconds = f"{row.seconds or 0:.3f}"
    case = ET.Element("testcase", classname=classname, name=name, time=seconds)
    if breach := row.breach:
        ET.SubElement(case, "failure", type=WORDS[breach.kind], message=str(breach))
    return case


def as_annotations(outcome: Outcome) -> str:
    """GitHub's workflow commands, an error for each breach: it shows ten of a step's."""
    title = _escaped(f"smoke test: {WORDS[outcome.kind]}").replace(":", "%3A").replace(",", "%2C")
    return "".join(
        f"::error title={title}::{_escaped(line)}\n" for line in breach_lines(outcome)[:10]
    )


def _escaped(text: str) -> str:
    """As GitHub's own toolkit escapes the data of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


class QuietLines(Watcher):
    """A line after a pass in which other addresses fail, or otherwise, than in the one before."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._told: set[tuple[str, str, str]] = set()

    def passed(self, number: int, rows: Iterable[Row]) -> None:
        rows = tuple(rows)
        failing = [(row, row.breach) for row in rows if row.breach]
        found = {(row.target, row.address, breach.where) for row, breach in failing}
        if found == self._told:
            return
        self._told = found
        example = "; {}: {}".format(*failing[0]) if failing else ""
        self._write(f"pass {number}: {_kept(rows)}{example}\n")


class LiveTable(Watcher):
    """A table on a terminal, drawn over itself, breaches first."""

    def __init__(
        self,
        write: Callable[[str], object],
        size: Callable[[], tuple[int, int]],
        now: Callable[[], float],
    ) -> None:
        """`size` tells the terminal's columns and lines, `now` the time in seconds."""
        self._write = write
        self._size = size
        self._now = now
        self._rows: dict[tuple[str, str], Row] = {}
        self._drawn = 0
        self._drawn_at = float("-inf")
        self._passes = 0

    def row(self, row: Row) -> None:
        if row.address:  # they are known now
            self._rows.pop((row.target, ""), None)
        if not row.cut or (row.target, row.address) not in self._rows:
            self._rows[row.target, row.address] = row
        self.idle()

    def idle(self) -> None:
        if self._now() - self._drawn_at >= _REDRAW_SECONDS:
            self._draw()

    def passed(self, number: int, rows: Iterable[Row]) -> None:
        self._passes = number
        self._rows = {(row.target, row.address): row for row in rows}
        self._draw()

    def _draw(self) -> None:
        columns, lines = self._size()
        rows = sorted(self._rows.values(), key=lambda row: row.breach is None)
        told = [f"{_count(self._passes, 'pass', 'passes')} over, {_kept(rows)}"]
        told += map(_table_line, rows[: max(1, lines - 3)])
        over = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
        self._write(over + "".join(f"{line[: columns - 1]}\n" for line in told))
        self._drawn, self._drawn_at = len(told), self._now()


def _table_line(row: Row) -> str:
    if row.breach:
        return f"  {'...   ' if row.cut else 'FAIL  '}{row}: {row.breach}"
    release, instance = row.release or "none", row.instance or "none"
    return f"  ok    {row}  release {release}  instance {instance}  {row.seconds or 0:.3f} s"
