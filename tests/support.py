"""What tests of several rooms need: tools, ports, waiting, and a served PetSage."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

PETSAGE = str(Path(sys.executable).with_name("petsage"))
ROOT = Path(__file__).parent.parent


def tool(name: str, *places: str) -> str:
    """The path of a program. Where it is missing the test skips, but with `CI=true` it fails."""
    beside = [str(Path(sys.executable).parent), "/usr/sbin", *places]
    path = shutil.which(name) or shutil.which(name, path=os.pathsep.join(beside))
    if path is None:
        missing = f"{name} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return path


# Below the ports that the kernel gives to clients. Each process of pytest-xdist has its own part.
_PORTS = list(range(10_000, 32_000))[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) :: 16]
random.SystemRandom().shuffle(_PORTS)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on, and that this function has not returned before."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = _PORTS.pop()
        with socket.socket(family) as probe, suppress(OSError):
            probe.bind((host, port))
            return port


def wait_until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Calls `condition` until its result is true, and returns that; fails after `seconds`.

    An `OSError` or an error of urllib3 counts as a false result.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            if outcome := condition():
                return outcome
        except (OSError, urllib3.exceptions.HTTPError) as error:
            outcome = error
        assert time.monotonic() < deadline, f"after {seconds} s it is still {outcome!r}"
        time.sleep(0.02)


def get(url: str, **options: Any) -> urllib3.BaseHTTPResponse:
    """One GET on a new connection, without retries or redirects; 10 s at most."""
    with urllib3.PoolManager(retries=False) as pool:
        return pool.request("GET", url, redirect=False, **{"timeout": 10, **options})


_PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_kib(*command: str) -> int:
    """The most memory that a command ever held, in KiB.

    A small process starts it: until exec a child has its parent's memory, and the kernel counts it.
    """
    peak = subprocess.check_output([sys.executable, "-c", _PEAK, *command], text=True)
    return int(peak)


@contextmanager
def running(
    command: Sequence[str | Path],
    stop: signal.Signals = signal.SIGKILL,
    seconds: float = 10,
    **options: Any,
) -> Iterator[subprocess.Popen[Any]]:
    """Runs a command beside the block. At the block's end, if it still runs, it gets the signal
    `stop`, and `seconds` later SIGKILL and the test fails. `options` are those of `Popen`."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            try:
                process.send_signal(stop)
                process.wait(seconds)
            finally:
                process.kill()


@dataclass(frozen=True)
class Served:
    """A running `petsage serve`."""

    process: subprocess.Popen[str]
    main: str
    """The main listener's base URL."""
    management: str
    """The management listener's base URL."""
    log: Path

    def workers(self) -> list[int]:
        """The process ids of all its workers, the probe worker included."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]


def holders(service: Served, url: str) -> list[int]:
    """The workers that listen at this URL."""
    inodes = {f"socket:[{row[9]}]" for row in _listeners(url)}
    return [worker for worker in service.workers() if inodes & _sockets(worker)]


def unaccepted(url: str) -> int:
    """How many connections to this URL wait to be accepted."""
    return sum(int(row[4].partition(":")[2], 16) for row in _listeners(url))


def _listeners(url: str) -> list[list[str]]:
    """The rows of the kernel's table of TCP sockets that are listeners at this URL's port."""
    port = f":{int(url.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row for row in rows if row[1].endswith(port) and row[3] == "0A"]


def _sockets(pid: int) -> set[str]:
    try:
        return {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:  # it ended meanwhile
        return set()


_HANDING_OVER = """
import fcntl, os, sys
owner, descriptors, *command = sys.argv[1:]
high = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 100) for one in descriptors.split(",")]
for number, descriptor in enumerate(high, 3):
    os.dup2(descriptor, number)
os.closerange(3 + len(high), 200)
os.environ["LISTEN_FDS"] = os.environ.get("LISTEN_FDS", str(len(high)))
os.environ["LISTEN_PID"] = owner or str(os.getpid())
os.execv(command[0], command)
"""


def handing_over(sockets: Sequence[socket.socket], owner: str = "") -> list[str]:
    """The start of a command line that runs the rest of it with these sockets, as systemd does.

    The process that runs it must inherit their descriptors.
    """
    descriptors = ",".join(str(one.fileno()) for one in sockets)
    return [sys.executable, "-c", _HANDING_OVER, owner, descriptors]


@contextmanager
def served(
    folder: Path,
    *arguments: str,
    cwd: Path | None = None,
    project: Path | None = None,
    ready: Callable[[], object] | None = None,
    handed: Sequence[socket.socket] = (),
    before: Sequence[str] = (),
    **variables: Any,
) -> Iterator[Served]:
    """Runs `petsage serve` on free ports of 127.0.0.1, and waits until it has started.

    `variables` are configuration without the prefix: `workers=2`. Standard output and error go to
    a file in `folder`. `project` is the root of another copy of PetSage, which is served instead of
    this one. `ready` is called instead of the startup probe. `handed` are sockets to hand over.
    `before` is a command that runs the rest of the command line, such as `env`.
    """
    main, management = free_port(), free_port()
    settings = {
        "bind": f"127.0.0.1:{main}",
        "management_bind": f"127.0.0.1:{management}",
        "workers": 2,
        "drain_seconds": 0,
        **variables,
    }
    environment = environment_of(settings)
    if project:
        cwd, environment = project, {**environment, "PYTHONPATH": str(project)}
    log = folder / f"serve-{main}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*before, *(handing_over(handed) if handed else ()), PETSAGE, "serve", *arguments],
            env=environment,
            cwd=cwd,
            pass_fds=[one.fileno() for one in handed],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    main_url, management_url = (f"http://{settings[side]}" for side in ("bind", "management_bind"))
    served = Served(process, main_url, management_url, log)

    def started() -> bool:
        return get(f"{served.management}/startupz").status == 200

    try:
        wait_until(lambda: _alive(served) and (ready or started)())
        yield served
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def environment_of(settings: Mapping[str, object]) -> dict[str, str]:
    """This process's environment, with these PETSAGE_ variables and no others."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PETSAGE_")}
    return clean | {f"PETSAGE_{name.upper()}": str(value) for name, value in settings.items()}


def _alive(served: Served) -> bool:
    assert served.process.poll() is None, served.log.read_text()
    return True
