"""What is lost by restarts, reloads and kills under a real systemd, at 200 requests a second.

python -m pytest -s tests/bench/bench_systemd.py
"""

import itertools
import time

import pytest

from tests.e2e.machine import Lost, Machine
from tests.e2e.test_systemd import (  # noqa: F401
    HANDED,
    OWN,
    host,
    instances,
    kill,
    refuse,
    reload,
    restart,
    unix_sockets,
    upgrade,
)
from tests.support import wait_until

RATE = 200
TEN = ["2.0.0", "1.0.0"] * 5

pytestmark = pytest.mark.timeout(600)


def printed(what: str, lost: Lost) -> int:
    """Prints the outcomes; returns how many requests were lost."""
    total = lost.answered.total() + len(lost.failed)
    print(f"\n{what}: {len(lost.failed)} of {total} lost, longest wait {lost.longest:.2f} s")
    return len(lost.failed)


def test_ten_restarts_lose_nothing(host: Machine) -> None:  # noqa: F811
    host.begin(*HANDED, drain_seconds=2)  # systemd gives up at more than 5 starts in 10 s
    assert printed("10 restarts, handed sockets", restart(host, 10, RATE)) == 0


def test_restarts_with_a_unix_socket_lose_nothing(host: Machine) -> None:  # noqa: F811
    with unix_sockets(host, drain_seconds=2):
        assert printed("5 restarts, unix socket", restart(host, 5, RATE)) == 0


@pytest.mark.parametrize("units", [OWN, HANDED], ids=["its own sockets", "handed sockets"])
def test_ten_reloads_lose_nothing(host: Machine, units: tuple[str, ...]) -> None:  # noqa: F811
    host.begin(*units)
    assert printed(f"10 reloads, {', '.join(units)}", reload(host, TEN, RATE)) == 0
    descriptors = host.run("ls", f"/proc/{host.show('MainPID')}/fd").stdout.split()
    print(f"{len(descriptors)} descriptors")


def test_six_signals_within_a_second_lose_nothing(host: Machine) -> None:  # noqa: F811
    host.begin(*HANDED)
    with host.load(RATE) as lost:
        host.point("2.0.0")
        for _ in range(6):
            host.systemctl("kill", "--signal=HUP", "--kill-who=main", "petsage")
            time.sleep(0.1)
        wait_until(lambda: host.releases() == {"2.0.0"}, 30)
    assert printed("6 SIGHUP within a second", lost) == 0


@pytest.mark.parametrize("release", ["3.0.0", "4.0.0"])
def test_code_that_does_not_hold_loses_nothing(host: Machine, release: str) -> None:  # noqa: F811
    host.begin(*HANDED)
    with host.load(RATE) as lost:
        assert refuse(host, release).returncode == 1
        assert host.releases() == {"1.0.0"}
    assert printed(f"a reload of {release}, which does not hold", lost) == 0


def test_an_upgrade_and_the_way_back_four_times_lose_nothing(host: Machine) -> None:  # noqa: F811
    host.begin(*OWN)
    with host.load(RATE) as lost:
        for release in ["2.0.0", "1.0.0"] * 4:
            upgrade(host, release)
    assert printed("upgrade and roll back, 4 times", lost) == 0


def test_three_kills_lose_what_is_in_flight(host: Machine) -> None:  # noqa: F811
    host.begin(*HANDED)
    with host.load(RATE) as lost:
        for _ in range(3):
            main = host.show("MainPID")
            kill(host, main)
            host.comes_back(main)
            wait_until(lambda: host.show("StatusText").endswith(" answers"), 20)
    assert printed("kill -9 of the arbiter, 3 times", lost) <= 12


def test_two_instances_restarted_in_turn_lose_nothing_of_20_000(host: Machine) -> None:  # noqa: F811
    ports = instances(host, drain_seconds=2)
    restarts = 0
    began = time.monotonic()
    with host.load(RATE) as lost:
        for port in itertools.cycle(ports):
            host.systemctl("restart", f"petsage@{port}")
            restarts += 1
            if time.monotonic() - began > 20_200 / RATE:
                break
    assert printed(f"{restarts} restarts of two instances in turn", lost) == 0
