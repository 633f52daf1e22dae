"""Fixtures of several rooms."""

import signal
import threading
from collections.abc import Iterator

import pytest

from petsage.config import Config
from petsage.health.service import Identity
from petsage.scoreboard import Scoreboard
from tests.support import wait_until


def pytest_configure() -> None:
    """Restores SIGINT: a job that a shell starts in the background ignores it, and so would each
    process of the tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def config() -> Config:
    """A configuration that does not depend on the environment."""
    return Config(release="r1", instance="i1")


@pytest.fixture
def identity(config: Config) -> Identity:
    """The release and instance of this configuration."""
    return Identity(config.release, config.instance)


@pytest.fixture
def scoreboard() -> Scoreboard:
    """A scoreboard of the test's own."""
    return Scoreboard()


@pytest.fixture(autouse=True)
def all_runs_have_ended() -> Iterator[None]:
    """Waits after each test for the threads of its checks: they still log changes after the report,
    and the next test may read the log."""
    yield
    wait_until(lambda: not _checks_run())


def _checks_run() -> bool:
    return any(thread.name.startswith("check ") for thread in threading.enumerate())
