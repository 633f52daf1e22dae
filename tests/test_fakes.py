"""Promises of the children that tests fork: none gets back into pytest, and none stays."""

import os
import signal

import pytest

from tests.fakes import forked, in_a_child


def test_what_a_child_raises_fails_the_test_in_the_parent_and_ends_the_child() -> None:
    with pytest.raises(AssertionError, match="Failed: in the child"):
        in_a_child(lambda: pytest.fail("in the child"))
    code, said = forked(lambda: 1 // 0)
    assert (code, said.splitlines()[-1]) == (
        1,
        "ZeroDivisionError: integer division or modulo by zero",
    )


def test_a_child_that_hangs_is_ended_and_reaped() -> None:
    code, _ = forked(signal.pause, seconds=1)
    assert code == -signal.SIGALRM
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
