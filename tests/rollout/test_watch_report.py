"""Promises of what a watch prints."""

from datetime import UTC, datetime

import pytest

from petsage.client import Target
from petsage.contract import Kind
from petsage.rollout.losses import Ask, Losses
from petsage.rollout.verdict import Finding
from petsage.rollout.watch_report import as_text


@pytest.mark.parametrize(("late_seconds", "is_noted"), [(0.0, False), (0.02, False), (0.021, True)])
def test_figures_that_describe_this_machine_are_marked_so(late_seconds, is_noted):
    target = Target.parse("http://pets")
    found = Losses([target])
    found.asked_until = 9
    for at in range(9):
        found.add(Ask(target, at, late_seconds, at + 0.001, Finding("")))
    text = as_text(found, Kind.PROVEN, "", datetime(2026, 1, 1, tzinfo=UTC))
    assert ("NOTE these figures are this machine's" in text) is is_noted
