"""Promises of checks, statuses and results."""

from dataclasses import FrozenInstanceError
from datetime import timedelta
from decimal import Decimal
from itertools import permutations

import pytest

from petsage import Check, Result, Status
from petsage.checks import worst
from tests.fakes import check


@pytest.mark.parametrize("statuses", list(permutations(Status)))
def test_the_worst_status_is_found_in_any_order(statuses):
    assert worst(statuses) is Status.FAIL
    assert worst(s for s in statuses if s is not Status.FAIL) is Status.WARN


def test_nothing_at_all_is_well():
    assert worst([]) is Status.PASS


def test_a_check_has_the_documented_defaults():
    defaults = Check("database", print, {"ready"})
    assert defaults.probes == {"ready"}
    assert (defaults.timeout_seconds, defaults.fresh_seconds, defaults.stale_seconds) == (2, 5, 30)
    assert defaults.critical
    assert not defaults.external


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "check '': a name must be 1 to 64 ASCII letters"),
        ({"name": "a b"}, "check 'a b': a name must be"),
        ({"name": "../etc"}, "a name must be"),
        ({"name": "ä"}, "a name must be"),
        ({"name": "x" * 65}, "a name must be"),
        ({"name": "x\n"}, "a name must be"),
        ({"name": "workers"}, "check 'workers': the name is PetSage's own"),
        ({"name": "drain"}, "the name is PetSage's own"),
        ({"probes": {"ready", "alive"}}, "unknown probe 'alive'; the probes are live, ready,"),
        ({"probes": {"live"}, "external": True}, "an external check cannot be in the live probe"),
        ({"timeout_seconds": 0}, "timeout_seconds must be above 0"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds must be above 0"),
        ({"timeout_seconds": 3600.1}, "timeout_seconds must be above 0 and at most 3600"),
        ({"stale_seconds": 86400.1}, "1 <= stale_seconds <= 86400"),
        ({"fresh_seconds": 31}, "0 <= fresh_seconds <= stale_seconds"),
        ({"stale_seconds": -1}, "0 <= fresh_seconds <= stale_seconds"),
        ({"probes": "ready"}, "probes must be a set of some of live, ready, startup, smoke"),
        ({"probes": b"ready"}, "probes must be a set of some of live, ready, startup, smoke"),
        ({"probes": None}, "probes must be a set of some of live, ready, startup, smoke"),
        ({"probes": [["ready"], 3]}, "unknown probe 3; the probes are live, ready,"),
        ({"timeout_seconds": "2"}, "timeout_seconds must be a number"),
        ({"timeout_seconds": None}, "timeout_seconds must be a number"),
        ({"fresh_seconds": timedelta(seconds=5)}, "fresh_seconds must be a number"),
        ({"stale_seconds": Decimal(30)}, "stale_seconds must be a number"),
        ({"critical": "no"}, "critical and external must be True or False"),
        ({"external": None}, "critical and external must be True or False"),
    ],
)
def test_a_check_that_cannot_mean_what_it_says_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match="check") as refused:
        check(**options)
    assert message in str(refused.value)


@pytest.mark.parametrize("kind", [list, tuple, set, dict.fromkeys])
def test_probes_may_be_any_collection_of_names(kind):
    assert check(probes=kind(["ready", "smoke"])).probes == {"ready", "smoke"}


def test_the_repr_of_a_check_does_not_show_what_it_runs():
    class Secretive:
        def __call__(self):
            pass

        def __repr__(self):
            return "postgresql://app:hunter2@db/pets"

    assert "hunter2" not in repr(check(run=Secretive()))


def test_a_result_cannot_be_changed():
    result = Result("database", Status.PASS, "", 1.0, 0.1)
    with pytest.raises(FrozenInstanceError):
        result.status = Status.FAIL  # type: ignore[misc]
