"""Promises of how many CPUs a process may use."""

import os

from petsage.cpus import available_cpus


def test_cpus_are_those_this_process_may_use():
    mask = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mask)})
    try:
        assert available_cpus() == 1
    finally:
        os.sched_setaffinity(0, mask)
