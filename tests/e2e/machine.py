"""A machine with a real systemd and nginx, in systemd-nspawn, that runs the printed files.

It shares this machine's `/usr`. Everything else is its own, and is gone when the block ends. Each
release of PetSage is installed in `/opt/petsage-RELEASE`, and `/opt/petsage` is a symlink to one.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import petsage
from tests.support import PETSAGE, running, tool, wait_until

NGINX_MAIN = """\
user nobody nogroup;
worker_processes 1;
pid /run/nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http { include /etc/nginx/conf.d/*.conf; }
"""

# A feature of every release: it answers what a POST sends. While a file `broken` is beside it, its
# check fails, or its import if that is what the file says.
FEATURE = '''\
"""Answers what it was sent."""

from importlib.metadata import version
from pathlib import Path

from flask import Response, request

from petsage.checks import Check
from petsage.features import Blueprint

broken = Path(__file__).with_name("broken")
if broken.is_file() and broken.read_text() == "import":
    raise RuntimeError("hunter2")
blueprint = Blueprint("Echo", __name__, url_prefix="/api/v1/echo")


def _run():
    assert not broken.is_file()


check = Check("echo", _run, probes=frozenset({"smoke", "startup"}))


@blueprint.route("/", methods=["GET", "POST"])
def echo():
    """Answer what was sent, or the release."""
    release = version("petsage")
    body = request.get_data() or release + "\\n"
    return Response(body, headers={"PetSage-Release": release})
'''

PYTHON = Path(sys.base_prefix).resolve()
# The printed unit hides /root and /home, where a Python of the user's own may be.
PYTHON_INSIDE = PYTHON if PYTHON.is_relative_to("/usr") else Path("/opt/python")
PACKAGES = Path("/opt/packages")
UNITS = "/etc/systemd/system"
MAIN = "127.0.0.1:8000"
LIBRARY = f"lib/python{sysconfig.get_python_version()}/site-packages"


@dataclass
class Lost:
    """What the clients of a machine saw."""

    answered: Counter[str]
    """How many requests were answered by each release, or by "" when it does not say."""
    failed: list[str]
    failed_at: list[float]
    """When each of these requests began, in monotonic seconds."""
    longest: float
    """The longest wait for an answer, in seconds."""


@dataclass(frozen=True)
class Machine:
    """The machine, while it runs."""

    leader: int
    """The process id of its systemd."""

    @property
    def root(self) -> Path:
        return Path(f"/proc/{self.leader}/root")

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command in it."""
        inside = [tool("nsenter"), "--target", str(self.leader), "--all", "--", *command]
        done = subprocess.run(inside, capture_output=True, text=True, timeout=110, check=False)
        assert done.returncode == 0 or not check, (
            command,
            done.stdout,
            done.stderr,
            self.journal(),
        )
        return done

    def systemctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", *arguments, check=check)

    def show(self, name: str, unit: str = "petsage.service") -> str:
        """A property of a unit."""
        return self.systemctl("show", "--value", "--property", name, unit).stdout.strip()

    def comes_back(self, main: str) -> None:
        """Waits until the service has another main process than this one."""
        wait_until(lambda: self.show("MainPID") not in (main, "0"), 20)

    def journal(self, unit: str = "petsage.service") -> str:
        done = self.run("journalctl", "--quiet", "--output=cat", "--unit", unit, check=False)
        return done.stdout

    def write(self, path: str, text: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def install(self, release: str, broken: str = "") -> None:
        """Installs PetSage as that release, in a virtual environment of its own.

        It can be broken in two ways: "import" or "startup".
        """
        home = self.root / f"opt/petsage-{release}"
        packages = home / LIBRARY
        shutil.copytree(
            Path(petsage.__file__).parent,
            packages / "petsage",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        feature = packages / "petsage/features/echo"
        feature.mkdir()
        (feature / "__init__.py").write_text(FEATURE)
        if broken:
            (feature / "broken").write_text(broken)
        info = packages / f"petsage-{release}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: petsage\nVersion: {release}\n"
        )
        (packages / "others.pth").write_text(f"{PACKAGES}\n")
        inside = PYTHON_INSIDE / Path(sys.executable).resolve().relative_to(PYTHON)
        (home / "pyvenv.cfg").write_text(f"home = {inside.parent}\n")
        (home / "bin").mkdir()
        (home / "bin/python").symlink_to(inside)
        script = home / "bin/petsage"
        text = Path(PETSAGE).read_text().partition("\n")[2]
        script.write_text(f"#!/opt/petsage-{release}/bin/python\n{text}")
        script.chmod(0o755)

    def point(self, release: str) -> None:
        """Points the symlink to a release."""
        new = self.root / "opt/petsage.new"
        new.symlink_to(f"petsage-{release}")
        new.rename(self.root / "opt/petsage")

    def proxy(self, *upstreams: str) -> None:
        """Puts nginx in front of these servers, with the printed site."""
        servers = "\n".join(f"    server {upstream} max_fails=0;" for upstream in upstreams)
        site = printed("nginx")
        assert site.count(f"    server {MAIN} max_fails=0;") == 1
        site = site.replace(f"    server {MAIN} max_fails=0;", servers)
        self.write("/etc/nginx/conf.d/petsage.conf", site)
        self.systemctl("restart", "nginx")

    def begin(self, *units: str, release: str = "1.0.0", **variables: object) -> None:
        """Restarts everything: this release, this configuration, and only these units."""
        self.systemctl("stop", "nginx")  # else PetSage's stop waits 2 s for nginx's connections
        self.systemctl("stop", "petsage.socket", "petsage.service", "petsage@*.service")
        self.systemctl("reset-failed")
        self.point(release)
        settings = {"workers": 2, "drain_seconds": 0.3, **variables}
        lines = [f"PETSAGE_{name.upper()}={value}\n" for name, value in settings.items()]
        self.write("/etc/petsage/petsage.env", "".join(lines))
        self.systemctl("daemon-reload")
        self.proxy(str(variables.get("bind", MAIN)))
        for unit in units:
            self.systemctl("start", unit)

    def releases(self) -> set[str]:
        """The releases that answer 20 requests through nginx, and any other answers."""
        url = "http://127.0.0.1/api/v1/echo/?[1-20]"
        return set(self.run("curl", "--silent", "--fail", url).stdout.splitlines())

    @contextmanager
    def load(self, rate: int = 100) -> Iterator[Lost]:
        """Sends requests while the block runs; the yielded `Lost` is filled when it ends."""
        lost = Lost(Counter(), [], [], 0)
        network = [tool("nsenter"), "--target", str(self.leader), "--net", "--"]
        command = [*network, sys.executable, "-m", "tests.e2e.load", "http://127.0.0.1", str(rate)]
        with running(command, stdout=subprocess.PIPE, text=True) as clients:
            assert clients.stdout
            assert clients.stdout.readline() == "begun\n"
            try:
                yield lost
            finally:
                clients.send_signal(signal.SIGTERM)
                outcome = json.loads(clients.communicate(timeout=60)[0])
        lost.answered.update(outcome["answered"])
        lost.failed.extend(outcome["failed"])
        lost.failed_at.extend(outcome["failed_at"])
        lost.longest = outcome["longest"]


@contextmanager
def machine() -> Iterator[Machine]:
    """Boots the machine, with nginx in it, and the printed files in their places."""
    program = tool("systemd-nspawn")
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("it needs to be root")
    packages = sysconfig.get_path("purelib")
    command = [
        program,
        "--directory=/",
        "--volatile=yes",
        "--private-network",
        "--register=no",
        "--keep-unit",
        f"--machine=petsage-{os.getpid()}",
        "--quiet",
        "--console=pipe",
        f"--bind-ro={packages}:{PACKAGES}",
        *([f"--bind-ro={PYTHON}:{PYTHON_INSIDE}"] if PYTHON_INSIDE != PYTHON else []),
        "--boot",
        "systemd.unit=basic.target",
    ]
    nothing = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing) as nspawn:
        leader = 0
        try:
            leader = wait_until(lambda: _systemd_of(nspawn.pid))
            machine = Machine(leader)
            wait_until(lambda: _booted(machine), 60)
            _furnish(machine)
            yield machine
        finally:
            if leader:
                os.kill(leader, signal.SIGKILL)  # its process 1: everything in it ends too
            nspawn.kill()


def _systemd_of(nspawn: int) -> int:
    """The process id of the machine's systemd; 0 while there is none."""
    for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
        if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"/usr/lib/systemd/systemd\0"):
            return int(child)
    return 0


def _booted(machine: Machine) -> bool:
    state = machine.run("systemctl", "is-active", "basic.target", check=False).stdout
    return state == "active\n"


def _furnish(machine: Machine) -> None:
    # There is no network but the loopback: nothing is worth waiting for.
    machine.systemctl("mask", "--now", "systemd-networkd-wait-online.service")
    machine.write("/etc/ld.so.conf", f"{PYTHON_INSIDE}/lib\n")
    for folder in ("var/cache/ldconfig", "var/lib/nginx", "var/log/nginx"):
        (machine.root / folder).mkdir(parents=True)
    machine.run("ldconfig", "-X")
    machine.write("/etc/nginx/nginx.conf", NGINX_MAIN)
    machine.write(f"{UNITS}/petsage.service", printed("systemd"))
    machine.write(f"{UNITS}/petsage.socket", printed("systemd", "--socket"))
    machine.write(f"{UNITS}/petsage@.service", printed("systemd", "--instances"))


def printed(*arguments: str) -> str:
    """What `petsage deploy` prints."""
    return subprocess.check_output([PETSAGE, "deploy", *arguments], text=True)
