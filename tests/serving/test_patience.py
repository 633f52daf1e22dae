"""Promises of a fork that fails: the instance stays, and it is tried again."""

import errno
import logging
from types import SimpleNamespace

import pytest
from gunicorn.errors import HaltServer

from petsage.scoreboard import scoreboard
from petsage.serving.patience import PatientForks


class Arbiter:
    """Its fork fails at first."""

    def __init__(self, failures):
        self.failures = failures
        self.WORKERS = {}
        self.log = logging.getLogger("arbiter")

    def spawn_worker(self):
        slot = scoreboard.new_slot(1.0)
        if self.failures:
            self.failures -= 1
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        self.WORKERS[4711] = SimpleNamespace(probe=False, slot=slot)
        return 4711

    def reap_workers(self):
        raise HaltServer("Worker failed to boot.", 3)

    reexec = spawn_worker


def test_a_fork_that_fails_is_logged_and_the_next_one_counts(caplog):
    arbiter = Arbiter(failures=1)
    PatientForks(arbiter).install()
    arbiter.spawn_worker()
    assert caplog.messages == [
        "No worker could be started, tried again: Resource temporarily unavailable"
    ]
    assert not scoreboard.slots()
    arbiter.spawn_worker()
    assert [slot.pid for slot in scoreboard.slots()] == [4711]
    scoreboard.slots()[0].clear()


def test_a_sigusr2_that_fails_ends_nothing(caplog):
    arbiter = Arbiter(failures=1)
    PatientForks(arbiter).install()
    arbiter.reexec()
    assert "SIGUSR2 failed" in caplog.text
    scoreboard.free_slots_without_process()


def test_a_worker_that_cannot_boot_ends_an_instance_only_before_it_has_started(caplog):
    arbiter = Arbiter(failures=0)
    PatientForks(arbiter).install()
    with pytest.raises(HaltServer):
        arbiter.reap_workers()
    scoreboard.finished_at = 1.0
    try:
        arbiter.reap_workers()
    finally:
        scoreboard.finished_at = 0.0
    assert "Worker failed to boot. It is tried again." in caplog.text
