"""Promises of the printed Containerfile: the image is built, and run as a cluster runs it."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.builder.projects import project_copy
from tests.e2e.containers import MEMORY_BYTES, engine
from tests.support import PETSAGE, environment_of, free_port, get, running, served, tool, wait_until

pytestmark = pytest.mark.timeout(600)  # the first time a Debian is installed for the base

NAMES = (f"c{number}" for number in count())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    with engine(tmp_path_factory.mktemp("image"), "2.0-rc.1") as built:
        yield built


@pytest.fixture(scope="module")
def image(built):
    return built[0]


@contextmanager
def serving(image, folder, main=None, **variables):
    """Serves the image on free ports; yields the process, the container's name and both URLs."""
    main, management = main or f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    settings = {"bind": main, "management_bind": management, "workers": 2, **variables}
    name = next(NAMES)
    command = image.command(name, **settings)
    with (
        (folder / name).open("w") as log,
        running(command, signal.SIGINT, 20, stdout=log, stderr=log) as process,
    ):
        wait_until(lambda: get(f"http://{management}/startupz").status == 200, 30)
        yield process, name, f"http://{main}", f"http://{management}"


def test_the_image_answers_as_process_1_and_drains(image, tmp_path):
    with serving(image, tmp_path, drain_seconds=1) as (process, name, main, management):
        answer = get(f"{main}/api/v1/smoke-test")
        assert (answer.status, answer.headers["PetSage-Release"]) == (200, "2.0-rc.1")
        assert b"width=device-width" in get(f"{main}/docs").data
        status = Path(f"/proc/{image.pid(name)}/status").read_text()
        assert re.search(r"NSpid:\t\d+\t1\n", status)
        assert re.search(r"Uid:\t65532\t", status)
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: get(f"{management}/readyz").status == 503)
        assert get(f"{main}/api/v1/smoke-test", headers={"Connection": "close"}).status == 200
        assert process.wait(20) == 0


def test_the_health_check_of_the_image_says_whether_it_is_ready(built, tmp_path):
    image, config = built
    kind, *check = config["Healthcheck"]["Test"]
    assert kind == "CMD"
    with socket.create_server(("127.0.0.1", 0)) as dependency:
        checks = f"other=tcp://127.0.0.1:{dependency.getsockname()[1]}#fresh=0"
        with serving(image, tmp_path, checks=checks) as (_, name, _, management):
            asked = [word.replace("http://127.0.0.1:8001", management) for word in check]
            assert image.execute(name, *asked) == 0
            dependency.close()
            wait_until(lambda: image.execute(name, *asked) == 1)


def test_a_smoke_test_in_the_image_proves_its_own_release(image, tmp_path):
    with serving(image, tmp_path) as (_, _, main, _), served(tmp_path, workers=1) as other:
        assert image.run(next(NAMES), "petsage", "smoke-test", main, "--wait=10").returncode == 0
        mixed = image.run(next(NAMES), "petsage", "smoke-test", main, other.main)
        assert mixed.returncode == 4
        assert "expected 2.0-rc.1, saw 1.0.0" in mixed.stdout


EVERY_DRIVER = (
    "a=postgresql://u@127.0.0.1:9/d b=mysql://u@127.0.0.1:9/d c=redis://127.0.0.1:9 "
    "d=http://127.0.0.1:9/ e=tcp://127.0.0.1:9 f=tls://127.0.0.1:9 g=dns://localhost "
    "h=disk:///#free=0% i=https://127.0.0.1:9/"
)


def test_with_every_driver_under_load_it_stays_within_the_memory_of_the_manifest(image, tmp_path):
    checks = " ".join(
        f"{one}&critical=no" if "#" in one else f"{one}#critical=no" for one in EVERY_DRIVER.split()
    )
    with serving(image, tmp_path, checks=checks) as (process, name, main, management):
        load = [tool("wrk"), "-t1", "-c32", "-d3s", f"{main}/api/v1/smoke-test"]
        subprocess.run(load, check=True, stdout=subprocess.DEVNULL)
        assert get(f"{management}/readyz?verbose").status == 200
        assert image.memory_bytes(name) < 0.8 * MEMORY_BYTES
        assert process.poll() is None


@pytest.mark.parametrize(
    "command",
    [
        ("check", "--wait", "60", "tcp://127.0.0.1:9"),
        ("smoke-test", "http://127.0.0.1:9", "--wait", "60"),
        ("feature", "add", "vet", "--description", "d"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_ends_at_sigterm_as_process_1(tmp_path, command):
    root = project_copy(tmp_path) if command[0] == "feature" else tmp_path
    process_1 = [tool("unshare"), "--pid", "--fork", "--map-root-user", "--mount-proc"]
    with running(
        [*process_1, sys.executable, "-m", "petsage", *command],
        cwd=root,
        env=environment_of({}),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        (child,) = wait_until(lambda: children(process.pid))
        wait_until(lambda: handles_sigterm(child))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        os.kill(child, signal.SIGTERM)
        assert process.wait(20) == 143, process.stderr.read()


def children(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def handles_sigterm(pid):
    caught = re.search(r"SigCgt:\t(\w+)", Path(f"/proc/{pid}/status").read_text())[1]
    return int(caught, 16) >> (signal.SIGTERM - 1) & 1


def test_hadolint_finds_nothing_in_the_printed_file(tmp_path):
    printed = subprocess.check_output([PETSAGE, "deploy", "container"])
    found = subprocess.run([tool("hadolint"), "-"], input=printed, capture_output=True)
    assert (found.returncode, found.stdout) == (0, b"")
