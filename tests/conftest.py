"""Fixtures of several rooms."""

import pytest

from petsage.board import Board
from petsage.config import Config


@pytest.fixture
def config() -> Config:
    """A configuration that no environment has touched."""
    return Config(release="r1", instance="i1")


@pytest.fixture
def board() -> Board:
    """A board of the test's own."""
    return Board()
