"""What a round over 1,000 addresses costs, beside `xargs -P 16` over curl in the same run.

pytest -o addopts= -s tests/bench/bench_rollout.py
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from petsage.smoke_test import PATH
from tests.hostile import hangs, server
from tests.support import PETSAGE, ROOT, free_port, get, peak_kib, tool, wait_until

RUNS = 5
ONE = ("--instances", "1")
"""Makes it one request to each target, as with curl; without this, each gets 18."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port at which one process answers on every loopback address."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.answering", str(port)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        wait_until(lambda: get(f"http://127.0.1.1:{port}/").status == 200)
        yield port
        process.terminate()


def urls(port: int, number: int) -> list[str]:
    """That many addresses, from 127.0.1.1 up."""
    hosts = (f"127.0.{1 + n // 250}.{1 + n % 250}" for n in range(number))
    return [f"http://{host}:{port}{PATH}" for host in hosts]


def listed(folder: Path, targets: list[str]) -> Path:
    path = folder / f"{len(targets)}.targets"
    path.write_text("".join(f"{url}\n" for url in targets))
    return path


def seconds(*command: str, stdin: Path) -> float:
    began = time.monotonic()
    with stdin.open() as lines:
        subprocess.run(command, stdin=lines, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def proven(targets: Path, *options: str) -> dict[str, object]:
    command = [PETSAGE, "smoke-test", f"@{targets}", *ONE, "--json", *options]
    finished = subprocess.run(command, capture_output=True, check=False)
    return dict(json.loads(finished.stdout))


def test_a_round_is_four_times_faster_than_curl_and_takes_little_memory(
    port: int, tmp_path: Path
) -> None:
    targets = listed(tmp_path, urls(port, 1000))
    curl = [tool("xargs"), "-P", "16", "-n", "1", tool("curl"), "-sf", "-o", "/dev/null"]
    pairs = [
        (seconds(*curl, stdin=targets), seconds(PETSAGE, "smoke-test", "-", *ONE, stdin=targets))
        for _ in range(RUNS)
    ]
    ratio = statistics.median(theirs / ours for theirs, ours in pairs)
    peak = peak_kib(PETSAGE, "smoke-test", f"@{targets}", *ONE) / 1024
    for theirs, ours in pairs:
        click.echo(
            f"curl {theirs:.2f} s, the whole command {ours:.2f} s: {theirs / ours:.1f} times"
        )
    click.echo(f"median {ratio:.1f} times, peak memory {peak:.0f} MB")
    assert ratio >= 4
    assert peak < 100


def test_the_cost_of_a_target_does_not_grow_with_their_number(port: int, tmp_path: Path) -> None:
    cost = {}
    for number in (500, 1000, 2000, 4000, 10000):
        targets = listed(tmp_path, urls(port, number))
        taken = [float(str(proven(targets)["seconds"])) for _ in range(RUNS)]
        cost[number] = statistics.median(taken) / number
        peak = peak_kib(PETSAGE, "smoke-test", f"@{targets}", *ONE) / 1024
        click.echo(f"{number} targets: {cost[number] * 1e6:.0f} us each, peak memory {peak:.0f} MB")
        assert peak < 100
    assert cost[10000] < 1.5 * cost[500]


def test_one_slow_target_does_not_slow_the_others(port: int, tmp_path: Path) -> None:
    among = urls(port, 1000)
    slowest = {}
    with server(hangs) as slow:
        for name, targets in (("alone", among), ("beside", [slow.url, *among])):
            rows = proven(listed(tmp_path, targets), "--timeout", "3")["rows"]
            assert isinstance(rows, list)
            good = [row["seconds"] for row in rows if not row["breach"]]
            assert len(good) == 1000
            slowest[name] = max(good)
            click.echo(f"{name}: median {statistics.median(good):.3f} s, slowest {max(good):.3f} s")
    assert slowest["beside"] < 1
