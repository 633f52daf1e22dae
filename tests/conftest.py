"""Fixtures of several rooms."""

import signal

import pytest

from petsage.config import Config
from petsage.health.service import Identity
from petsage.scoreboard import Scoreboard


def pytest_configure() -> None:
    """What a shell starts in its background ignores SIGINT, and hands that down: not here."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def config() -> Config:
    """A configuration that no environment has touched."""
    return Config(release="r1", instance="i1")


@pytest.fixture
def identity(config: Config) -> Identity:
    """Who answers, with this configuration."""
    return Identity(config.release, config.instance)


@pytest.fixture
def scoreboard() -> Scoreboard:
    """A scoreboard of the test's own."""
    return Scoreboard()
