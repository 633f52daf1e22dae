"""Fixtures of the management side."""

from tests.health.conftest import all_runs_have_ended

__all__ = ["all_runs_have_ended"]
