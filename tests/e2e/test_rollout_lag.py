"""A rollout as a cluster does it, whose nodes learn late that a pod is gone."""

import pytest

from tests.e2e.cluster import roll

PACE = 5
"""How much faster the drain is than the manifest's 10 s."""


@pytest.mark.parametrize("lag_seconds", [0, 1, 3])
def test_as_long_as_the_list_lags_less_than_the_drain_of_20_000_requests_none_is_lost(
    tmp_path, lag_seconds
):
    outcome = roll(tmp_path, lag_seconds, requests=6_700, pace=PACE)
    assert outcome.lost == {}
    assert outcome.answered >= 6_700  # of each of the three


def test_a_list_that_lags_more_than_the_drain_loses_requests_and_they_are_seen(tmp_path):
    outcome = roll(tmp_path, 12, requests=1, pace=PACE)
    assert outcome.lost.total() > 0
    assert outcome.answered > outcome.lost.total()
