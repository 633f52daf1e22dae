"""No test's checks log into the next test."""

import threading
from collections.abc import Iterator

import pytest

from tests.support import wait_until


def _checks_run() -> bool:
    return any(thread.name.startswith("check ") for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def all_runs_have_ended() -> Iterator[None]:
    """Waits after each test for its checks' threads: they log a change after the report."""
    yield
    wait_until(lambda: not _checks_run())
