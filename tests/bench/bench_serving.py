"""What it costs to be served by PetSage, beside plain gunicorn with a hand-written application.

    python -m pytest tests/bench/bench_serving.py

Both have two workers of four threads, in an environment of what PetSage installs: flask-smorest
would also load a YAML library, if the tests' needs were there. They take turns, so that the
machine's moods hit both alike.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from tests.builder.projects import project_copy
from tests.e2e.proxy import nginx
from tests.support import ROOT, environment_of, free_port, get, tool, wait_until

ROUNDS = 9
PATH = "/api/v1/smoke-test"

Command = Callable[[str], list[str]]
"""An address to listen on becomes a command; PetSage gets it from its environment."""

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Running:
    """A server, and how long it took from its start to the first 200, in seconds."""

    process: subprocess.Popen[bytes]
    address: str
    started_seconds: float

    def pss_bytes(self) -> int:
        """The memory of arbiter and workers (PSS: each shared page is divided by its users)."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [self.process.pid, *map(int, children.read_text().split())]
        rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
        sizes = [int(re.search(r"(?m)^Pss: +(\d+) kB", text)[1]) for text in rollups]
        return sum(sizes) * 1024


_environment = tempfile.TemporaryDirectory()
_BIN = Path(_environment.name) / "bin"


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    with _environment:
        subprocess.run([sys.executable, "-m", "venv", _environment.name], check=True)
        subprocess.run([_BIN / "pip", "install", "-q", project_copy(_BIN)], check=True)
        yield


def petsage(_address: str) -> list[str]:
    return [str(_BIN / "petsage"), "serve"]


def plain(address: str, *kind: str) -> list[str]:
    gunicorn = str(_BIN / "gunicorn")
    kind = kind or ("--worker-class=gthread", "--threads=4", "--keep-alive=75")
    return [gunicorn, "--workers=2", *kind, f"--bind={address}", "tests.bench.plain:app"]


def sync(address: str) -> list[str]:
    return plain(address, "--worker-class=sync")


@contextmanager
def running(command: Command) -> Iterator[Running]:
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "bind": address,
        "management_bind": f"127.0.0.1:{free_port()}",
        "workers": 2,
        "threads": 4,
        "drain_seconds": 0,
    }
    began = time.monotonic()
    with subprocess.Popen(
        command(address), env=environment_of(settings), cwd=ROOT, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until(lambda: get(f"http://{address}{PATH}").status == 200)
            yield Running(process, address, time.monotonic() - began)
        finally:
            process.terminate()


def in_turn(unit: str, measure: Callable[[Command], float], beside: Command = plain) -> float:
    """Prints the medians of both measurements; returns the median of PetSage's multiples."""
    pairs = [(measure(petsage), measure(beside)) for _ in range(ROUNDS)]
    ours, theirs = (median(values) for values in zip(*pairs, strict=True))
    ratio = median(own / other for own, other in pairs)
    name = beside.__name__
    print(f"  PetSage {ours:.3g} {unit}, {name} {theirs:.3g} {unit}: {ratio:.2f} times")
    return ratio


def load(url: str, seconds: int, connections: int = 32) -> float:
    """Requests a second; each must be answered with 200."""
    command = [tool("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", url]
    printed = subprocess.check_output(command, text=True)
    assert "Non-2xx" not in printed, printed
    assert "Socket errors" not in printed, printed
    return float(re.search(r"Requests/sec: +([\d.]+)", printed)[1])


def test_memory(capsys):
    def measure(command: Command) -> float:
        with running(command) as server:
            load(f"http://{server.address}{PATH}", seconds=2)
            return server.pss_bytes() / 1e6

    with capsys.disabled():
        print("\nThe memory (PSS) of all processes, after some seconds of load:")
        assert in_turn("MB", measure) <= 1.05


def test_start(capsys):
    def measure(command: Command) -> float:
        with running(command) as server:
            return server.started_seconds

    with capsys.disabled():
        print("\nFrom the start to the first 200:")
        assert in_turn("s", measure) <= 1.25


@pytest.mark.parametrize(
    ("beside", "connections", "least"), [(plain, 32, 1), (plain, 8, 1), (sync, 8, 1.1)]
)
def test_throughput(capsys, tmp_path, beside, connections, least):
    unlimited = (("limit_req        zone=petsage_smoke_test burst=50 nodelay;", ""),)

    def measure(command: Command) -> float:
        with running(command) as server, nginx(tmp_path, server.address, also=unlimited) as base:
            return load(base + PATH, 3, connections)

    with capsys.disabled():
        print(f"\nThe smoke test behind nginx, over {connections} connections:")
        assert in_turn("requests/s", measure, beside) >= least
