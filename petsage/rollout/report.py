"""The outcome of a rollout as text, JSON, JUnit and GitHub annotations.

Text from servers is one line of printable ASCII by now (`petsage.printable.ascii_line`). What a
format cannot hold beyond that is escaped here.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from petsage.contract import Breach, Kind
from petsage.json_text import json_line
from petsage.printable import ascii_line, counted
from petsage.rollout.record import Sighting
from petsage.rollout.rollout import Outcome
from petsage.rollout.verdict import EVERY, Finding

WORDS = {
    Kind.PROVEN: "proven",
    Kind.WRONG: "answered but wrong",
    Kind.UNREACHED: "no valid connection",
    Kind.RELEASE: "wrong or mixed release",
    Kind.INCONCLUSIVE: "inconclusive",
    Kind.INTERRUPTED: "interrupted",
    Kind.TERMINATED: "interrupted",
}


def breach_lines(outcome: Outcome) -> list[str]:
    """A line for each breach."""
    lines = [f"{row}: {row.breach}" for row in outcome.rows if row.breach]
    return lines + ([str(outcome.breach)] if outcome.breach else [])


def as_text(outcome: Outcome) -> str:
    """A line for each breach and each change of addresses; the last line is the verdict."""
    lines = [f"FAIL {line}" for line in breach_lines(outcome)]
    lines += [f"NOTE {note}" for note in outcome.notes]
    return "".join(f"{line}\n" for line in [*lines, _summary(outcome)])


def _summary(outcome: Outcome) -> str:
    """The verdict in one line. A good one claims no more than was seen."""
    claim = outcome.claim if outcome.kind is Kind.PROVEN else ""
    releases = Counter(row.release for row in outcome.answers if row.release)
    parts = [
        f"{WORDS[outcome.kind]}{claim}: {kept(outcome.rows)}",
        *(f"release {release} ({count})" for release, count in releases.most_common(5)),
        counted(len(_instances(outcome)), "instance"),
        counted(outcome.requests, "request"),
        counted(outcome.rounds, "round"),
        f"{outcome.seconds:.1f} s",
    ]
    return ", ".join(parts)


def kept(rows: Iterable[Finding]) -> str:
    """How many addresses keep the contract. A row about all answers together is not counted."""
    asked = [row for row in rows if row.address != EVERY]
    return f"{sum(row.breach is None for row in asked)} of {len(asked)} keep the contract"


def as_json(outcome: Outcome) -> str:
    """The same for a machine, as one line."""
    data = {
        "verdict": WORDS[outcome.kind],
        "exit_code": outcome.kind,
        "claim": outcome.claim.strip(", "),
        "breach": _breach_data(outcome.breach),
        "rows": [_row_data(row) for row in outcome.rows],
        "releases": Counter(row.release for row in outcome.answers if row.release),
        "instances": _instances(outcome),
        "seen": [_sighting_data(sighting) for sighting in outcome.seen],
        "notes": outcome.notes,
        "requests": outcome.requests,
        "rounds": outcome.rounds,
        "seconds": round(outcome.seconds, 3),
    }
    return json_line(data).decode()


def _row_data(row: Finding) -> dict[str, Any]:
    data = asdict(row)
    return data | {"breach": _breach_data(row.breach), "cut": data.pop("pending")}


def _breach_data(breach: Breach | None) -> dict[str, Any] | None:
    return asdict(breach) | {"kind": WORDS[breach.kind]} if breach else None


def _instances(outcome: Outcome) -> list[str]:
    return sorted({answer.instance for answer in outcome.answers if answer.instance})


def _sighting_data(sighting: Sighting) -> dict[str, Any]:
    return {
        "target": sighting.latest.target,
        "address": sighting.latest.address,
        "instance": sighting.latest.instance,
        "first_seconds": round(sighting.first_at, 3),
        "last_seconds": round(sighting.last_at, 3),
        "releases": sighting.releases,
        "answers": sighting.answers,
        "breaches": sighting.breaches,
    }


def as_junit(outcome: Outcome) -> bytes:
    """A JUnit document with a case for each row and one for the rollout, which has the verdict.

    Its times are seconds, its timestamp is the time of day in UTC at the end.
    """
    cases = []
    for row in outcome.rows:
        kind = row.breach.kind if row.breach else Kind.PROVEN
        cases.append(_case(row.target, row.address or "answer", row.seconds, kind, row.breach))
    summary = _summary(outcome)
    cases.append(_case("petsage smoke-test", "rollout", outcome.seconds, outcome.kind, summary))
    suite = ET.Element(
        "testsuite",
        name="petsage smoke-test",
        tests=str(len(cases)),
        failures=str(sum(len(case) for case in cases)),
        errors="0",
        time=f"{outcome.seconds:.3f}",
        timestamp=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}",
        hostname=ascii_line(os.uname().nodename),
    )
    seen = ET.SubElement(suite, "properties")
    for sighting in outcome.seen:
        ET.SubElement(seen, "property", name="seen", value=json.dumps(_sighting_data(sighting)))
    suite.extend(cases)
    ET.SubElement(suite, "system-out").text = as_text(outcome)
    document: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _case(
    classname: str, name: str, seconds: float | None, kind: Kind, message: object
) -> ET.Element:
    case = ET.Element("testcase", classname=classname, name=name, time=f"{seconds or 0:.3f}")
    if kind:
        failure = ET.SubElement(case, "failure", type=WORDS[kind], message=str(message))
        failure.text = str(message)  # some readers show the attribute, others the text
    return case


def as_annotations(outcome: Outcome) -> str:
    """GitHub's error command for each breach, ten at most: it shows no more of one step."""
    title = _escaped(f"smoke test: {WORDS[outcome.kind]}").replace(":", "%3A").replace(",", "%2C")
    return "".join(
        f"::error title={title}::{_escaped(line)}\n" for line in breach_lines(outcome)[:10]
    )


def _escaped(text: str) -> str:
    """As GitHub's own toolkit escapes the data of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
