"""Promises of the printed units, on a machine with a real systemd and nginx."""

import re
import time
from contextlib import contextmanager

import pytest

from tests.e2e.machine import UNITS, machine, printed
from tests.support import ROOT, wait_until

README = (ROOT / "README.md").read_text(encoding="utf-8")
HANDED = ("petsage.socket", "petsage.service")
OWN = ("petsage.service",)
REFUSED = "Reload refused, the old code goes on: "


@pytest.fixture(scope="module")
def host():
    """A machine with two good releases and two broken ones."""
    with machine() as running:
        running.install("1.0.0")
        running.install("2.0.0")
        running.install("3.0.0", broken="import")
        running.install("4.0.0", broken="startup")
        yield running


def restart(host, times, rate=100):
    """Restarts under load; returns the outcomes of the requests."""
    with host.load(rate) as lost:
        for _ in range(times):
            host.systemctl("restart", "petsage")
            wait_until(lambda: host.show("StatusText").endswith(" answers"), 20)
    return lost


def reload(host, releases, rate=100):
    """Reloads to each of these releases under load; returns the outcomes of the requests."""
    with host.load(rate) as lost:
        for release in releases:
            host.point(release)
            host.systemctl("reload", "petsage")
            wait_until(lambda: host.show("StatusText") == f"Release {release} answers", 20)  # noqa: B023
            assert host.releases() == {release}
    return lost


def refuse(host, release):
    """Tries to reload a broken release, by systemctl and by SIGHUP; returns systemctl's output."""
    host.point(release)
    failed = host.systemctl("reload", "petsage", check=False)
    before = host.journal().count(REFUSED)
    host.systemctl("kill", "--signal=HUP", "--kill-who=main", "petsage")
    wait_until(lambda: host.journal().count(REFUSED) > before, 20)
    return failed


def kill(host, main):
    """Kills the arbiter and its workers, as systemd does once the arbiter is gone."""
    command = f"kill -9 {main} $(cat /proc/{main}/task/{main}/children)"
    host.run("sh", "-c", command, check=False)  # systemd may be faster with the workers


@contextmanager
def unix_sockets(host, **variables):
    """The service with a main unix socket of systemd, at the path in the printed socket unit."""
    tcp = printed("systemd", "--socket")
    unix = tcp.replace("ListenStream=127.0.0.1:8000\n", "")
    host.write(f"{UNITS}/petsage.socket", unix.replace("# ListenStream=", "ListenStream="))
    try:
        host.begin(*HANDED, bind="unix:/run/petsage.sock", **variables)
        yield
    finally:
        host.write(f"{UNITS}/petsage.socket", tcp)


def upgrade(host, release):
    """Does what the README tells an operator to do, except the installation; returns the output."""
    (block,) = re.findall(r"```sh\n(python3 -m venv /opt/petsage-2.0.0 .*?)```", README, re.DOTALL)
    commands = block.partition("\n")[2].replace("2.0.0", release)
    path = "PATH=/opt/petsage/bin:/usr/bin:/bin\nset -e\n"
    return host.run("sh", "-c", path + commands).stdout


def instances(host, drain_seconds=0.3):
    """Starts two instances behind nginx, by the printed `petsage@.service`; returns their names."""
    host.begin()
    ports = (8000, 8002)
    for port in ports:
        variables = {
            "BIND": f"127.0.0.1:{port}",
            "MANAGEMENT_BIND": f"127.0.0.1:{port + 1}",
            "DRAIN_SECONDS": drain_seconds,
        }
        lines = [f"PETSAGE_{name}={value}\n" for name, value in variables.items()]
        host.write(f"/etc/petsage/{port}.env", "".join(lines))
        host.systemctl("start", f"petsage@{port}")
    host.proxy(*(f"127.0.0.1:{port}" for port in ports))
    return ports


def test_it_starts_and_the_status_names_the_release_that_answers(host):
    host.begin(*OWN)
    assert host.releases() == {"1.0.0"}
    wait_until(lambda: host.show("StatusText") == "Release 1.0.0 answers")
    assert host.show("ActiveState") == "active"


def test_restarts_with_sockets_of_systemd_lose_nothing(host):
    host.begin(*HANDED)
    lost = restart(host, times=3)
    assert lost.failed == []
    assert lost.answered["1.0.0"] > 100
    assert lost.longest < 5


def test_reloads_lose_nothing_and_the_new_code_answers_after_each(host):
    host.begin(*HANDED)
    main = host.show("MainPID")
    lost = reload(host, ["2.0.0", "1.0.0", "2.0.0"])
    assert lost.failed == []
    assert set(lost.answered) == {"1.0.0", "2.0.0"}
    assert host.show("MainPID") == main


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("3.0.0", "feature 'echo' cannot be imported"),
        ("4.0.0", "startup check 'echo' failed: raised AssertionError"),
    ],
)
def test_a_reload_of_code_that_does_not_hold_fails_and_loses_nothing(host, release, words):
    host.begin(*HANDED)
    with host.load(100) as lost:
        assert refuse(host, release).returncode == 1
        assert host.releases() == {"1.0.0"}
    assert lost.failed == []
    assert f"petsage: {words}" in host.journal()
    assert f"{REFUSED}{words}" in host.journal()


def test_when_the_arbiter_is_killed_no_more_is_lost_than_what_was_in_flight(host):
    host.begin(*HANDED)
    main = host.show("MainPID")
    with host.load(100) as lost:
        kill(host, main)
        killed = time.monotonic()
        host.comes_back(main)
        assert host.releases() == {"1.0.0"}
    assert all(began < killed for began in lost.failed_at)


def test_a_wrong_configuration_stays_down(host):
    host.begin(workers="none")
    assert host.systemctl("start", "petsage", check=False).returncode
    assert (host.show("ExecMainStatus"), host.show("ActiveState")) == ("78", "failed")
    assert host.show("NRestarts") == "0"


def test_a_wrong_configuration_with_sockets_is_mended_as_the_unit_says(host):
    host.begin("petsage.socket", workers="none")
    asked = host.run("curl", "--silent", "--max-time", "20", "http://127.0.0.1:8000/", check=False)
    assert asked.returncode
    wait_until(lambda: host.show("Result", "petsage.socket") == "service-start-limit-hit")
    host.write("/etc/petsage/petsage.env", "PETSAGE_WORKERS=1\n")
    mended = re.findall(r"(?m)^#   (systemctl .* petsage.socket.*)$", printed("systemd"))
    assert len(mended) == 2
    for command in mended:
        host.run(*command.split())
    assert host.releases() == {"1.0.0"}


def test_sockets_at_other_addresses_are_refused_in_one_line_and_stay(host):
    host.begin("petsage.socket", bind="127.0.0.1:8002")
    assert host.systemctl("start", "petsage", check=False).returncode
    assert host.show("ExecMainStatus") == "78"
    assert (
        "petsage: the sockets handed over are 127.0.0.1:8000, 127.0.0.1:8001; PETSAGE_BIND "
        "needs one at 127.0.0.1:8002, PETSAGE_MANAGEMENT_BIND one at 127.0.0.1:8001\n"
    ) in host.journal()


def test_the_unix_socket_of_systemd_outlives_restarts_and_reloads_and_loses_nothing(host):
    with unix_sockets(host):
        assert restart(host, times=1).failed == []
        assert reload(host, ["2.0.0"]).failed == []


def test_an_upgrade_and_the_way_back_as_the_readme_has_them_lose_nothing(host):
    host.begin(*OWN)
    with host.load(100) as lost:
        for release in ("2.0.0", "1.0.0"):
            assert re.search(rf"^proven.* release {release} ", upgrade(host, release))
    assert lost.failed == []
    assert set(lost.answered) == {"1.0.0", "2.0.0"}


def test_two_instances_restarted_in_turn_lose_nothing(host):
    ports = instances(host)
    with host.load(100) as lost:
        for port in ports:
            host.systemctl("restart", f"petsage@{port}")
    assert lost.failed == []


def test_a_reload_needs_no_space_on_any_disk(host):
    host.begin()
    host.run("mount", "-t", "tmpfs", "-o", "size=4k", "full", "/dev/shm")
    try:
        host.run("dd", "if=/dev/zero", "of=/dev/shm/full", "bs=4k", "count=1")
        host.systemctl("start", "petsage")
        host.point("2.0.0")
        host.systemctl("reload", "petsage")
        wait_until(lambda: host.releases() == {"2.0.0"}, 20)
    finally:
        host.systemctl("stop", "petsage")
        host.run("umount", "/dev/shm")
