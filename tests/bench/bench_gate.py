"""What an attack of half a minute costs those who are honest.

    python -m pytest -p no:randomly tests/bench/bench_gate.py

A probe and an honest client, each by a new connection and for a second at most, ask in turn while
the attack goes on: on the main and on the management listener, over TCP and over a unix socket.
"""

import socket
import time
from contextlib import contextmanager, suppress

import pytest

from tests.attackers import attacked
from tests.e2e.test_gate import APPLICATION, limited
from tests.support import free_port, served, wait_until

SECONDS = 30
WAYS = ["tcp", "unix"]
SIDES = ["main", "management"]

CHECKS = """
from flask import Flask
from petsage import Check, health

healthy = Flask("healthy")
healthy.wsgi_app = app
health.init_app(healthy, [Check(f"check-{number}", lambda: None) for number in range(200)])
"""

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "echo.py").write_text(APPLICATION + CHECKS)
    (tmp_path / "file").write_bytes(bytes(1_600_000))
    return tmp_path


@contextmanager
def addresses(folder, way="tcp", **settings):
    """Serves the application; yields the addresses of both listeners, and the service."""
    if way == "unix":
        at = {"main": f"unix:{folder}/main", "management": f"unix:{folder}/management"}
    else:
        at = {side: f"127.0.0.1:{free_port()}" for side in SIDES}

    def has_started():
        with suppress(OSError):
            return answers(at["management"], "/startupz")

    settings = {"bind": at["main"], "management_bind": at["management"], "threads": 4, **settings}
    with served(folder, "echo:healthy", cwd=folder, ready=has_started, **settings) as service:
        yield at, service


def answers(address, path):
    """Whether it answers with 200 within a second; raises `OSError` if it does not answer."""
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_UNIX if host == "unix" else socket.AF_INET) as client:
        client.settimeout(1)
        client.connect(port if host == "unix" else (host, int(port)))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return client.recv(1000).startswith(b"HTTP/1.1 200")


class Asked:
    """How long answers took, and how many did not come within a second or were no 200."""

    def __init__(self, address, path):
        self.address, self.path = address, path
        self.seconds, self.failures = [], []

    def ask(self):
        began = time.perf_counter()
        try:
            assert answers(self.address, self.path)
        except (AssertionError, OSError) as error:
            self.failures.append(repr(error))
        self.seconds.append(time.perf_counter() - began)

    def __str__(self):
        ordered = sorted(self.seconds)
        middle, last = (ordered[int(len(ordered) * part)] * 1000 for part in (0.5, 0.99))
        failed = f"{len(self.failures)} of {len(ordered)} failed {set(self.failures) or ''}"
        return f"{failed}, {middle:.1f} ms, 99 % {last:.1f} ms"


def beside(at, seconds=SECONDS):
    """The figures of a probe and of an honest client that have asked for so long."""
    probe, client = Asked(at["management"], "/livez"), Asked(at["main"], "/")
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        probe.ask()
        client.ask()
    return probe, client


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("idle", 300),
        ("idle", 1500),
        ("half request", 300),
        ("dripping head", 300),
        ("dripping body", 100),
        ("pipelining", 100),
    ],
)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("way", WAYS)
def test_an_attack_that_is_not_felt(folder, capsys, way, side, kind, count):
    path = {"main": "/file", "management": "/status"}[side] if kind == "pipelining" else "/"
    with (
        addresses(folder, way) as (at, _service),
        attacked(kind, count, SECONDS + 10, at[side], path),
    ):
        probe, client = beside(at)
    with capsys.disabled():
        print(f"\n{kind} x {count}, {side}, {way}: probe {probe}; client {client}", end="")


@pytest.mark.parametrize(
    ("kind", "count", "path"), [("not reading", 50, "/big"), ("dripping large body", 100, "/")]
)
@pytest.mark.parametrize("way", WAYS)
def test_an_attack_on_the_threads(folder, capsys, way, kind, count, path):
    with addresses(folder, way) as (at, _service):
        with attacked(kind, count, SECONDS, at["main"], path):
            probe, _client = beside(at, SECONDS - 1)
        began = time.monotonic()
        again(at)
    with capsys.disabled():
        print(f"\n{kind} x {count}, main, {way}: probe {probe}; {since(began)}", end="")


@pytest.mark.parametrize("kind", ["idle", "dripping head", "half request", "pipelining"])
@pytest.mark.parametrize("side", SIDES)
def test_an_attack_on_an_instance_with_64_descriptors(folder, capsys, side, kind):
    path = {"main": "/file", "management": "/status"}[side] if kind == "pipelining" else "/"
    with limited(64):
        entered = addresses(folder)
        at, service = entered.__enter__()
    workers = service.workers()
    with attacked(kind, 300, SECONDS, at[side], path):
        probe, client = beside(at, SECONDS - 1)
    began = time.monotonic()
    again(at)
    dead = "no worker died" if service.workers() == workers else "A WORKER DIED"
    with capsys.disabled():
        print(f"\n{kind} x 300, {side}, 64: probe {probe}; client {client}; {dead}", end="")
        print(f"; {since(began)}", end="")
    entered.__exit__(None, None, None)


def again(at):
    def is_served():
        with suppress(OSError):
            return answers(at["main"], "/") and answers(at["management"], "/livez")

    wait_until(is_served, seconds=15)


def since(began):
    return f"served again after {time.monotonic() - began:.1f} s"
