"""Promises of what each probe means."""

import pytest

from petsage import Status
from petsage.checks import CheckFailed
from petsage.health.conditions import drain_condition
from petsage.health.monitor import Monitor
from petsage.health.service import Health, http_status, run_smoke_test
from petsage.smoke_test import FAILURE, SUCCESS
from tests.fakes import ManualClock, Subject, check


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def health_of(clock, scoreboard, identity):
    return lambda *checks: Health(
        Monitor(checks, [drain_condition(scoreboard)], clock), scoreboard, identity
    )


@pytest.mark.parametrize(
    ("status", "code"), [(Status.PASS, 200), (Status.WARN, 200), (Status.FAIL, 503)]
)
def test_only_a_fail_is_a_503(status, code):
    assert http_status(status) == code


def test_the_smoke_test_names_each_failing_check(health_of):
    down = Subject(CheckFailed("down"))
    assert run_smoke_test(health_of(check("a"))) is SUCCESS
    failed = run_smoke_test(health_of(check("a", down), check("b"), check("c", down)))
    assert (failed.status, failed.message) == (FAILURE.status, FAILURE.message)
    assert failed.failed == ("a", "c")


def test_once_all_startup_checks_held_in_one_report_startup_passes_for_good(health_of, clock):
    subject = Subject(CheckFailed("not yet"))
    health = health_of(check(run=subject))
    assert health.report("startup").status is Status.FAIL
    subject.error = None
    clock.time += 31
    assert health.report("startup").status is Status.PASS
    subject.error = CheckFailed("down again")
    clock.time += 31
    assert health.report("startup").status is Status.PASS
    assert health.report("ready").status is Status.FAIL


def test_a_part_of_the_startup_checks_starts_nothing(health_of, scoreboard):
    health = health_of(check("a"), check("b", Subject(CheckFailed("down"))))
    assert health.report("startup", ["a"]).status is Status.PASS
    assert not scoreboard.started


def test_startup_is_known_to_every_process_that_shares_the_board(health_of, clock):
    health_of(check("a")).report("startup")
    other = health_of(check("a", Subject(CheckFailed("down"))))
    assert other.report("startup").status is Status.PASS


def test_one_check_can_be_asked_even_after_the_start(health_of, clock):
    subject = Subject()
    health = health_of(check(run=subject))
    health.report("startup")
    subject.error = CheckFailed("down")
    clock.time += 31
    assert health.report("startup", ["database"]).failed == ("database",)
