"""What an attack of half a minute costs those who are honest.

    python -m pytest tests/bench/bench_gate.py

An honest client and a probe, each by a new connection, ask in turn while the attack goes on.
"""

import time

import pytest

from tests.attackers import attacked
from tests.e2e.test_gate import APPLICATION, address
from tests.support import get, served, wait_until

SECONDS = 30

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def service(tmp_path):
    (tmp_path / "echo.py").write_text(APPLICATION)
    (tmp_path / "file").write_bytes(bytes(1_600_000))
    with served(tmp_path, "echo:app", cwd=tmp_path, workers=2, threads=4) as running:
        yield running


@pytest.mark.parametrize(
    ("side", "kind", "count", "path"),
    [
        ("main", "idle", 300, "/"),
        ("main", "idle", 1500, "/"),
        ("main", "half request", 300, "/"),
        ("main", "dripping head", 300, "/"),
        ("main", "dripping body", 100, "/"),
        ("main", "pipelining", 100, "/file"),
        ("management", "idle", 1500, "/"),
        ("management", "dripping head", 300, "/"),
        ("management", "pipelining", 100, "/status"),
    ],
)
def test_an_honest_client_beside_an_attack(service, capsys, side, kind, count, path):
    taken = {"probe": [], "client": []}
    with attacked(kind, count, SECONDS + 10, address(getattr(service, side)), path):
        over = time.monotonic() + SECONDS
        while time.monotonic() < over:
            taken["probe"].append(ask(f"{service.management}/livez"))
            taken["client"].append(ask(f"{service.main}/"))
    with capsys.disabled():
        for name, seconds in taken.items():
            seconds.sort()
            print(
                f"\n{kind} x {count} on {side}, {name}: {len(seconds)} answers, median"
                f" {seconds[len(seconds) // 2] * 1000:.1f} ms, 99 % within"
                f" {seconds[int(len(seconds) * 0.99)] * 1000:.1f} ms",
                end="",
            )
    assert taken["client"][int(len(taken["client"]) * 0.99)] <= 0.1


@pytest.mark.parametrize(
    ("kind", "count", "path"), [("not reading", 50, "/big"), ("dripping large body", 100, "/")]
)
def test_after_an_attack_on_the_threads(service, capsys, kind, count, path):
    with attacked(kind, count, SECONDS, address(service.main), path):
        over = time.monotonic() + SECONDS - 2
        while time.monotonic() < over:
            ask(f"{service.management}/livez")
    began = time.monotonic()
    wait_until(lambda: get(f"{service.main}/", timeout=1).status == 200, seconds=15)
    with capsys.disabled():
        print(f"\n{kind} x {count}: served again after {time.monotonic() - began:.1f} s", end="")


def ask(url):
    began = time.perf_counter()
    assert get(url, timeout=1).status == 200
    return time.perf_counter() - began
