"""Promises of the scoreboard: what one process writes, every process forked after it reads."""

import time
from functools import partial

import pytest

from petsage.scoreboard import Scoreboard
from tests.fakes import in_a_child


def test_each_worker_has_a_slot_of_its_own_until_it_ends():
    scoreboard = Scoreboard()
    first, second = scoreboard.new_slot(1.0), scoreboard.new_slot(2.0)

    def occupy() -> str:
        second.busy = 3.0
        return ""

    in_a_child(occupy)
    assert [(slot.beat_at, slot.busy) for slot in scoreboard.slots()] == [(1, 0), (2, 3)]
    first.clear()
    assert [slot.beat_at for slot in scoreboard.slots()] == [2]
    scoreboard.new_slot(3.0)
    assert [slot.beat_at for slot in scoreboard.slots()] == [3, 2]


def test_more_workers_than_slots_are_served_unseen():
    scoreboard = Scoreboard()
    for _ in range(2100):
        scoreboard.new_slot(1.0)
    assert len(scoreboard.slots()) == 2048


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
