"""Promises of the condition that workers serve: busy is not stuck, idle is not stuck."""

import socket

import pytest

from petsage.address import Address
from petsage.health.conditions import Workers, blocked_seconds, listens
from petsage.health.report import Caution
from petsage.scoreboard import Scoreboard
from tests.fakes import ManualClock
from tests.support import free_port

STUCK = 120


class Instance:
    """Workers, as far as they write into their slots, and the answers of the probes."""

    def __init__(self, workers=2, stuck_seconds=STUCK):
        self.clock = ManualClock()
        self.board = Scoreboard()
        self.listens = True
        self.slots = [self.board.new_slot(self.clock.time) for _ in range(workers)]
        for slot in self.slots:
            slot.has_begun = True
        asked = Workers(lambda: self.listens, self.board, self.clock, stuck_seconds)
        self._reasons = asked.condition().reasons
        self.answers()

    def answers(self):
        """The reasons that the probes get now."""
        return self._reasons()

    def pass_seconds(self, seconds, stopped=()):
        """Runs the main loops of all workers that are not stopped."""
        self.clock.time += seconds
        for slot in self.slots:
            if slot not in stopped:
                slot.beat_at = self.clock.time

    def hold(self, *slots):
        """Gives all threads of these workers a request that does not end."""
        for slot in slots:
            slot.full_since = slot.oldest_at = self.clock.time


@pytest.fixture
def instance():
    return Instance()


def test_an_idle_hour_is_not_stuck(instance):
    instance.pass_seconds(3600)
    assert instance.answers() == {"live": "", "ready": "", "startup": ""}


def test_a_probe_during_the_first_look_at_the_listener_waits_for_nothing_and_passes():
    board, clock, answers = Scoreboard(), ManualClock(), []

    def look():
        answers.append(reasons())  # as another thread would
        return True

    board.new_slot(clock.time).has_begun = True
    reasons = Workers(look, board, clock, STUCK).condition().reasons
    answers.append(reasons())
    assert [answer["ready"] for answer in answers] == ["", ""]


def test_busy_is_not_stuck(instance):
    for _ in range(100):
        instance.hold(*instance.slots)  # one request has ended, and another has begun
        instance.pass_seconds(4)
        assert instance.answers() == {"live": "", "ready": "", "startup": ""}


def test_while_all_threads_are_held_for_5_s_it_is_not_ready_but_live(instance):
    instance.hold(*instance.slots)
    instance.pass_seconds(4.9)
    assert instance.answers()["ready"] == ""
    instance.pass_seconds(0.1)
    assert instance.answers()["ready"] == "no worker has been free for 5 s"
    assert instance.answers()["live"] == ""


def test_one_worker_that_is_held_is_named_and_fails_nothing(instance):
    instance.hold(instance.slots[0])
    instance.pass_seconds(121)
    for probe in ("live", "ready"):
        reason = instance.answers()[probe]
        assert isinstance(reason, Caution)
        assert reason == "1 of 2 workers: a request has run for 121 s"


def test_live_fails_when_replacing_the_workers_has_not_helped(instance):
    instance.hold(*instance.slots)
    instance.pass_seconds(STUCK)
    assert isinstance(instance.answers()["live"], Caution)
    instance.board.replaced_at = instance.clock.time
    instance.hold(*instance.slots)
    instance.pass_seconds(STUCK - 1)
    assert instance.answers()["live"] == ""
    instance.pass_seconds(1)
    assert instance.answers()["live"] == "no worker has been free for 120 s"
    instance.hold(*instance.slots)  # replaced again, and wedged again
    instance.pass_seconds(5)
    assert instance.answers()["live"] == "no worker has been free for 5 s"


def test_a_request_that_ended_after_the_replacement_shows_that_it_helped(instance):
    instance.board.replaced_at = instance.clock.time
    instance.board.finished_at = instance.clock.time + 1
    instance.hold(*instance.slots)
    instance.pass_seconds(STUCK + 1)
    assert isinstance(instance.answers()["live"], Caution)


def test_workers_that_are_stopped_fail_live_without_a_replacement(instance):
    for second in range(STUCK):
        assert instance.answers()["live"] == "" or second >= STUCK
        instance.pass_seconds(1, stopped=instance.slots)
    assert instance.answers()["live"] == "no worker has been free for 120 s"
    instance.pass_seconds(1)
    assert instance.answers()["live"] == ""


@pytest.mark.parametrize("how", ["nobody listens", "no worker is there"])
def test_where_nobody_listens_readiness_fails_first_and_liveness_later(instance, how):
    if how == "nobody listens":
        instance.listens = False
    else:
        for slot in instance.slots:
            slot.clear()
        instance.slots = []
    for _ in range(STUCK):
        instance.answers()
        instance.pass_seconds(1)
    assert instance.answers()["ready"] == "nobody has accepted connections for 120 s"
    assert instance.answers()["live"] == "nobody has accepted connections for 120 s"


def test_a_moment_without_a_worker_is_no_failure_however_idle_it_was(instance):
    instance.pass_seconds(3600)
    instance.answers()
    for slot in instance.slots:
        slot.clear()
    instance.slots = []
    instance.pass_seconds(1)
    assert instance.answers()["live"] == instance.answers()["ready"] == ""


def test_startup_waits_until_a_worker_takes_connections():
    instance = Instance()
    for slot in instance.slots:
        slot.has_begun = False
    assert instance.answers()["startup"] == "no worker has begun yet"
    instance.slots[1].has_begun = True
    assert instance.answers()["startup"] == ""


def test_stuck_seconds_zero_is_never_stuck():
    instance = Instance(stuck_seconds=0)
    instance.board.replaced_at = instance.clock.time
    instance.pass_seconds(1e6, stopped=instance.slots)
    assert instance.answers()["live"] == ""


def test_a_listener_is_found_over_tcp_and_over_a_unix_socket(tmp_path):
    path = str(tmp_path / "main.sock")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen(0)
        assert listens(Address("0.0.0.0", tcp.getsockname()[1]))
        assert all(listens(Address(path=path)) for _ in range(3))  # a full queue is somebody's
        (tmp_path / "main.sock").unlink()
        assert not listens(Address(path=path))
    assert not listens(Address("127.0.0.1", free_port()))


def test_a_worker_whose_main_loop_has_not_turned_for_3_s_is_blocked():
    slot = Scoreboard().new_slot(100.0)
    assert blocked_seconds(slot, 102.9) == 0
    assert blocked_seconds(slot, 103.0) == 3
