"""Every report is whole, whatever a server said."""

import json
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from petsage.contract import Breach, Kind
from petsage.printable import ascii_line
from petsage.rollout.document import UNFINISHED, reserve, write
from petsage.rollout.progress import RoundLines, Table
from petsage.rollout.record import Sighting
from petsage.rollout.report import (
    as_annotations,
    as_json,
    as_junit,
    as_text,
)
from petsage.rollout.rollout import Outcome
from petsage.rollout.verdict import EVERY, NONE_YET, Finding

URL = "http://pets/"
HOSTILE = ascii_line("]]>\x00\x1b[2J\n::error::x%0A##[error],: <&\"'\ud800\uffff")

SEEN = (Sighting(Finding(URL, "", None, 200, "2", "a"), 0.5, 4.0, 2, 2, 1, Counter({"2": 2})),)


def outcome(*rows: Finding, breach: Breach | None = None, notes: tuple[str, ...] = ()) -> Outcome:
    answers = tuple(row for row in rows if row.address != EVERY)
    return Outcome(rows, answers, SEEN, breach, 1, len(rows), 0.25, notes)


def good(address: str = "", release: str = "2") -> Finding:
    return Finding(URL, address, None, 200, release, f"of {address}", 0.003)


def bad(seen: str = "503", address: str = "") -> Finding:
    return Finding(
        URL, address, Breach(Kind.WRONG, "status", "200", seen, True), 503, "2", "", 0.003
    )


def test_the_text_ends_with_the_verdict() -> None:
    mixed = Finding(URL, EVERY, Breach(Kind.RELEASE, "release", "2", "1 from b", True))
    found = outcome(good("A"), bad("503", "B"), mixed, notes=("round 2: C vanished",))
    assert as_text(found).splitlines() == [
        "FAIL http://pets/ at B: status: expected 200, saw 503",
        "FAIL http://pets/, all answers: release: expected 2, saw 1 from b",
        "NOTE round 2: C vanished",
        "answered but wrong: 1 of 2 keep the contract, release 2 (2), 1 instance, 3 requests, "
        "1 round, 0.2 s",
    ]
    assert as_text(outcome(good())).startswith("proven: 1 of 1 keep the contract, release 2 (1)")


def test_json_has_every_row_and_its_breach() -> None:
    data = json.loads(as_json(outcome(good("A"), bad(HOSTILE))))
    assert (data["verdict"], data["exit_code"], data["rounds"]) == ("answered but wrong", 1, 1)
    assert data["rows"][0] == {
        "target": URL,
        "address": "A",
        "status": 200,
        "release": "2",
        "instance": "of A",
        "seconds": 0.003,
        "breach": None,
        "cut": False,
        "seconds_ago": None,
    }
    assert data["rows"][1]["breach"] == {
        "kind": "answered but wrong",
        "where": "status",
        "expected": "200",
        "seen": HOSTILE,
        "retryable": True,
    }


def test_every_answer_of_the_last_round_is_counted_though_a_row_has_one() -> None:
    answers = (good("", "1"), good("", "2"), Finding(URL, "", None, 200, "2", "b"))
    found = Outcome(answers[:1], answers, (), None, 1, 3, 0.25, ())
    assert "release 2 (2), release 1 (1), 2 instances, 3 requests" in as_text(found)
    data = json.loads(as_json(found))
    assert (data["releases"], data["instances"]) == ({"1": 1, "2": 2}, ["b", "of "])


def test_junit_has_a_case_for_each_row_and_one_for_the_whole() -> None:
    suite = ET.fromstring(as_junit(outcome(good("A"), bad(HOSTILE, "B"))))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "2", "0")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp") or "")
    assert suite.get("hostname")
    assert [case.get("name") for case in suite.iter("testcase")] == ["A", "B", "rollout"]
    failure, verdict = suite.iter("failure")
    assert failure.text == failure.get("message") == f"status: expected 200, saw {HOSTILE}"
    assert verdict.text.startswith("answered but wrong: 1 of 2 keep the contract")


def test_the_document_of_an_unfinished_run_fails() -> None:
    suite = ET.fromstring(UNFINISHED)
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    (failure,) = suite.iter("failure")
    assert failure.text == failure.get("message") == "run: expected an end, saw none yet"


def test_a_file_that_cannot_be_replaced_is_written_in_place_and_leaves_no_litter(
    tmp_path: Path,
) -> None:
    # Beside a name of 255 bytes there is room for no longer one.
    path = tmp_path / ("x" * 255)
    path.touch()
    inode = path.stat().st_ino
    write(path, b"<new/>")
    assert (path.read_bytes(), path.stat().st_ino) == (b"<new/>", inode)
    assert list(tmp_path.iterdir()) == [path]


def test_junit_carries_every_instance_that_was_ever_seen() -> None:
    suite = ET.fromstring(as_junit(outcome(good())))
    (seen,) = suite.find("properties").iter("property")
    assert json.loads(seen.get("value") or "") == {
        "target": URL,
        "address": "",
        "instance": "a",
        "first_seconds": 0.5,
        "last_seconds": 4.0,
        "releases": {"2": 2},
        "answers": 2,
        "breaches": 1,
    }


def test_a_short_rollout_fails_in_junit_though_no_row_does() -> None:
    short = Breach(Kind.INCONCLUSIVE, "rounds", "3", "1", True)
    suite = ET.fromstring(as_junit(outcome(good(), breach=short)))
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")


def test_an_annotation_is_one_line_that_nothing_breaks_out_of() -> None:
    text = as_annotations(outcome(bad(HOSTILE), bad("a\r\nb%")))
    first, second = text.splitlines()
    assert first.startswith("::error title=smoke test%3A answered but wrong::http://pets/: status")
    assert "%250A" in first
    assert second.endswith("saw a%0D%0Ab%25")


def test_there_are_ten_annotations_at_most() -> None:
    assert as_annotations(outcome(*[bad()] * 1000)).count("::error ") == 10
    assert as_annotations(outcome(good())) == ""


@pytest.mark.parametrize("report", [as_text, as_json, as_annotations])
def test_no_report_lets_a_server_begin_a_line_or_a_sequence(report) -> None:
    text = report(outcome(bad(HOSTILE)))
    assert "\x1b" not in text
    assert "##[" not in text
    assert not any(line.startswith("::error::") for line in text.splitlines())


def test_lines_for_a_log_are_printed_only_for_what_is_new() -> None:
    written: list[str] = []
    lines = RoundLines(written.append)
    for rows in ([bad("502")], [bad("503")], [bad(), good("A")], [good()], [good()]):
        lines.round_over(len(written) + 1, rows)
    assert written == [
        "round 1: 0 of 1 keep the contract; http://pets/: status: expected 200, saw 502\n",
        "round 2: 1 of 1 keep the contract\n",
    ]


def test_the_live_table_fits_its_terminal_with_breaches_first() -> None:
    written: list[str] = []
    table = Table(written.append, lambda: (40, 10), lambda: 0.0)
    table.round_over(1, [*(good(str(number)) for number in range(100)), bad("x" * 100, "last")])
    lines = written[-1].splitlines()
    assert lines[0] == "1 round over, 100 of 101 keep the contract"[:39]
    assert lines[1].startswith("  FAIL  http://pets/ at last: status")
    assert len(lines) == 8
    assert max(map(len, lines)) == 39


def test_the_live_table_shows_who_has_not_answered_yet() -> None:
    now, written = [0.0], []
    table = Table(written.append, lambda: (80, 24), lambda: now[0])
    for address in ("", "A", "B"):
        table.found(Finding(URL, address, NONE_YET, pending=True))
    table.found(good("A"))
    table.found(Finding(URL, "A", NONE_YET, pending=True))
    now[0] = 1.0
    table.idle()
    assert written[-1].splitlines()[:2] == [
        "\x1b[2F\x1b[J0 rounds over, 1 of 2 keep the contract",
        "  ...   http://pets/ at B: time: expected an answer, saw none yet",
    ]


def test_the_live_table_is_redrawn_in_place_at_intervals() -> None:
    now, written = [0.0], []
    table = Table(written.append, lambda: (80, 24), lambda: now[0])
    table.found(good("A"))
    table.found(good("B"))
    assert len(written) == 1
    now[0] = 1.0
    table.found(good("C"))
    assert written[1].startswith("\x1b[2F\x1b[J0 rounds over, 3 of 3 keep the contract\n")


def test_a_junit_document_replaces_no_file_that_a_descriptor_leads_to(tmp_path: Path) -> None:
    with (tmp_path / "output").open("w") as output:
        output.write("what was printed")
        output.flush()
        with pytest.raises(ValueError, match="is not a file"):
            reserve(f"/proc/self/fd/{output.fileno()}")
    assert (tmp_path / "output").read_text() == "what was printed"
