"""Promises of the scoreboard: what one process writes, every process forked after it reads."""

import time
from functools import partial

import pytest

from petsage.scoreboard import Scoreboard
from tests.fakes import in_a_child


def test_a_new_board_says_nothing_but_when_it_began():
    before = time.monotonic()
    scoreboard = Scoreboard()
    assert (scoreboard.draining, scoreboard.started, scoreboard.finished_at) == (False, False, 0.0)
    assert before <= scoreboard.began_at <= time.monotonic()


def write(scoreboard: Scoreboard, cell: str, value: float) -> str:
    setattr(scoreboard, cell, value)
    return ""


@pytest.mark.parametrize(
    ("cell", "value"), [("draining", True), ("started", True), ("finished_at", 12345.678)]
)
def test_what_a_child_writes_its_parent_reads(cell, value):
    scoreboard = Scoreboard()
    in_a_child(partial(write, scoreboard, cell, value))
    assert getattr(scoreboard, cell) == value
    others = {"draining", "started", "finished_at"} - {cell}
    assert not any(getattr(scoreboard, other) for other in others)
