"""Promises of how many CPUs a process may use."""

import os
from pathlib import Path

import pytest

from petsage.cpus import available_cpus


def test_cpus_are_those_this_process_may_use() -> None:
    mask = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mask)})
    try:
        assert available_cpus() == 1
    finally:
        os.sched_setaffinity(0, mask)


@pytest.mark.parametrize(
    ("group", "quotas", "cpus"),
    [
        ("/", {}, 8),
        ("/", {"": "300000 100000"}, 3),
        ("/pod/app", {"pod/app": "max 100000"}, 8),
        ("/pod/app", {"pod/app": "400000 100000"}, 4),
        ("/pod/app", {"pod/app": "max 100000", "pod": "300000 100000"}, 3),
        ("/pod/app", {"pod/app": "400000 100000", "": "100000 50000"}, 2),
        ("/pod/app", {"pod/app": "200000 100000", "pod": "300000 100000"}, 2),
        ("/pod/app", {"pod/app": "160000 100000"}, 2),
        ("/pod/app", {"pod/app": "20000 100000"}, 1),
        ("/pod/app", {"pod/app": "6400000 100000"}, 8),
        ("/pod/app", {"pod/other": "200000 100000", "..": "100000 100000"}, 8),
        ("/pod/app", {"pod/app": "nonsense"}, 8),
    ],
)
def test_cpus_are_no_more_than_each_control_group_above_the_process_has(
    tmp_path: Path, group: str, quotas: dict[str, str], cpus: int
) -> None:
    for name, quota in quotas.items():
        folder = tmp_path / "sys/fs/cgroup" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(f"{quota}\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"1:cpu:/pod/other\n0::{group}\n")
    assert available_cpus(tmp_path, affinity=8) == cpus


def test_cpus_are_those_of_the_affinity_where_there_are_no_control_groups(tmp_path: Path) -> None:
    assert available_cpus(tmp_path, affinity=8) == 8
