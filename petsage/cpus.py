"""How many CPUs this process may use."""

import os
from collections.abc import Iterator
from pathlib import Path


def available_cpus(root: Path = Path("/"), affinity: int | None = None) -> int:
    """How many CPUs this process may use: its affinity, or less by its control groups' quotas.

    A quota is rounded to whole CPUs, and to 1 at least. `root` is where `/proc` and `/sys` are.
    `affinity` is how many CPUs the process may be scheduled on (default: what the kernel says).
    Control groups are those of version 2: cgroups(7).
    """
    quotas = [quota for group in _control_groups(root) if (quota := _quota(group))]
    return max(1, min([affinity or len(os.sched_getaffinity(0)), *map(round, quotas)]))


def _control_groups(root: Path) -> Iterator[Path]:
    """The folder of this process's control group, and those of all above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    mount = root / "sys/fs/cgroup"
    for line in lines:
        if line.startswith("0::/"):
            group = mount / line.removeprefix("0::/")
            yield from (group, *group.parents[: len(group.parts) - len(mount.parts)])


def _quota(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # there is none, or it is "max"
        return None
