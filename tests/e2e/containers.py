"""A real image, built by buildah on a base made by debootstrap, and run by containerd.

This needs root. The base and the packages are made once, in a folder that git ignores.

    python -m tests.e2e.containers     (makes them beforehand)
"""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builder.projects import project_copy
from tests.support import PETSAGE, ROOT, running, tool, wait_until

Ended = subprocess.CompletedProcess[str]

CACHE = ROOT / ".image_cache"

MEMORY_BYTES = 256 * 1024 * 1024
"""The limit of the printed manifest."""

_PACKAGES = "python3,python3-venv,python-is-python3,ca-certificates"
_NOT_IN_THE_BASE = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale")


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _base() -> Path:
    """An archive of a Debian with Python 3.11, the base of the image."""
    archive = CACHE / "base.tar"
    if not archive.exists():
        with tempfile.TemporaryDirectory() as folder:
            system = Path(folder) / "base"
            options = ("--variant=minbase", f"--include={_PACKAGES}")
            _run(tool("debootstrap"), *options, "bookworm", system)
            left_out = [f"--exclude=./{one}/*" for one in _NOT_IN_THE_BASE]
            _run("tar", "-C", system, *left_out, "-cf", CACHE / "base.part", ".")
            (CACHE / "base.part").rename(archive)
    return archive


def _wheels(source: Path) -> Path:
    """A folder with every package that the build installs, so that it needs no package index."""
    wanted = hashlib.sha256((source / "setup.cfg").read_bytes()).hexdigest()
    folder = CACHE / f"wheels-{wanted[:12]}"
    if not folder.exists():
        part = CACHE / "wheels.part"
        packages = (f"{source}[postgresql,mysql]", "setuptools>=77")
        _run(sys.executable, "-m", "pip", "wheel", "-q", "--wheel-dir", part, *packages)
        part.rename(folder)
    return folder


@dataclass(frozen=True)
class Engine:
    """A containerd for the tests, which has the image."""

    folder: Path
    image: str

    def command(self, name: str, *command: str, **variables: object) -> list[str]:
        """The command that runs a container in the foreground, and passes signals on to it."""
        environment = (f"--env=PETSAGE_{key.upper()}={value}" for key, value in variables.items())
        limits = ("--read-only", "--seccomp", f"--memory-limit={MEMORY_BYTES}", "--net-host")
        return [*self._ctr("run"), "--rm", *limits, *environment, self.image, name, *command]

    def run(
        self, name: str, *command: str, **variables: object
    ) -> subprocess.CompletedProcess[str]:
        """Runs a container to its end, 60 s at most."""
        return subprocess.run(
            self.command(name, *command, **variables), capture_output=True, text=True, timeout=60
        )

    def execute(self, name: str, *command: str) -> int:
        """Runs a command in a running container; returns its exit code."""
        asked = [*self._ctr("task", "exec"), "--exec-id", "one", name, *command]
        return subprocess.run(asked, capture_output=True, timeout=60).returncode

    def pid(self, name: str) -> int:
        """The process id that a container's process 1 has on this machine."""
        rows = [line.split() for line in _run(*self._ctr("task", "ls")).splitlines()]
        (pid,) = (row[1] for row in rows if row[0] == name)
        return int(pid)

    def memory_bytes(self, name: str) -> int:
        """The memory that a container's processes hold, without the page cache."""
        places = {}
        for line in Path(f"/proc/{self.pid(name)}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            places[controllers] = path
        version_1 = Path(f"/sys/fs/cgroup/memory{places.get('memory')}/memory.stat")
        version_2 = Path(f"/sys/fs/cgroup{places.get('')}/memory.stat")
        file, kinds = (
            (version_1, ("rss", "shmem")) if "memory" in places else (version_2, ("anon", "shmem"))
        )
        held = dict(line.split() for line in file.read_text().splitlines())
        return sum(int(held[kind]) for kind in kinds)

    def _ctr(self, *words: str) -> list[str]:
        return [tool("ctr"), "--address", str(self.folder / "containerd.sock"), *words]


@contextmanager
def engine(folder: Path, release: str) -> Iterator[tuple[Engine, dict[str, object]]]:
    """Builds the printed Containerfile with that release; yields a containerd that has the image,
    and the image's configuration."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("only root can build")
    with _alone():
        archive, config = _build(folder, release)
    containerd = {
        "version": 2,
        "root": f"{folder}/root",
        "state": f"{folder}/state",
        "disabled_plugins": ["io.containerd.grpc.v1.cri"],
        "grpc": {"address": f"{folder}/containerd.sock"},
        "debug": {"address": f"{folder}/debug.sock"},
    }
    (folder / "config.toml").write_text(_toml(containerd))
    command = [tool("containerd"), "--config", f"{folder}/config.toml"]
    with (
        (folder / "containerd.log").open("w") as log,
        running(command, signal.SIGTERM, stdout=log, stderr=log),
    ):
        wait_until((folder / "containerd.sock").is_socket)
        engine = Engine(folder, "localhost/petsage:test")
        _run(*engine._ctr("image", "import"), archive)
        yield engine, config


@contextmanager
def _alone() -> Iterator[None]:
    """Waits until no other process builds in this folder."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _toml(values: dict[str, object]) -> str:
    flat = "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items() if not isinstance(v, dict))
    return flat + "".join(f"[{k}]\n{_toml(v)}" for k, v in values.items() if isinstance(v, dict))


def _buildah_with_the_base(folder: Path) -> tuple[str, ...]:
    """The command of a buildah that has the base image of the printed Containerfile."""
    storage = ("--storage-driver=vfs", f"--root={CACHE}/storage", f"--runroot={folder}/buildah")
    buildah = (tool("buildah"), *storage)
    base = "docker.io/library/python:3.11-slim"  # so no registry is asked
    if base.rpartition(":")[0] not in _run(*buildah, "images"):
        scratch = _run(*buildah, "from", "scratch").strip()
        _run(*buildah, "add", scratch, _base(), "/")
        _run(*buildah, "commit", "--rm", scratch, base)
    return buildah


def _build(folder: Path, release: str) -> tuple[Path, dict[str, object]]:
    """The built image as an archive, and its configuration."""
    buildah = _buildah_with_the_base(folder)
    source = project_copy(folder)
    (source / "Containerfile").write_text(_run(PETSAGE, "deploy", "container"))
    (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    _run(
        *(*buildah, "build", "--isolation=chroot", "--pull-never", "--format=docker"),
        f"--build-arg=RELEASE={release}",
        f"--volume={_wheels(source)}:/wheels:ro",
        f"--volume={folder}/pip.conf:/etc/pip.conf:ro",
        *("--tag=petsage:test", source),
    )
    archive = folder / "petsage.tar"
    _run(*buildah, "push", "petsage:test", f"docker-archive:{archive}:petsage:test")
    config = json.loads(_run(*buildah, "inspect", "--type=image", "petsage:test"))
    _run(*buildah, "rmi", "petsage:test")
    return archive, config["Docker"]["config"]


if __name__ == "__main__":
    with _alone(), tempfile.TemporaryDirectory() as folder:
        _buildah_with_the_base(Path(folder))
        _wheels(project_copy(Path(folder)))
