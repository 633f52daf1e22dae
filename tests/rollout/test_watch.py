"""Promises of the watch: every lost ask is counted, once, as what it was."""

import socket
import threading
from contextlib import closing

import pytest

from petsage.client import Answer, Client, Target
from petsage.clock import SystemClock
from petsage.contract import Kind
from petsage.rollout.plan import RolloutPlan
from petsage.rollout.watch import Watch
from tests.rollout.losing import BODY, losing

WAYS = ("5xx", "cut", "reset", "timed out", "rate-limited")


def watch(
    port, seconds, rate=100, release="", timeout_seconds=1, addresses=(), tick=lambda *_: None
):
    target = Target.parse(f"http://127.0.0.1:{port}")
    plan = RolloutPlan(
        targets=(target,),
        release=release,
        timeout_seconds=timeout_seconds,
        every_address=bool(addresses),
    )
    client = Client()
    with closing(Client(keeps=True)) as kept:
        gets = (client.get, kept.get)
        found = Watch(
            plan, gets, lambda target, seconds: addresses or (target.host,), SystemClock(), tick
        )
        found.run(rate, seconds)
    return found


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_as_many_asks_are_lost_as_the_server_loses_and_in_the_same_ways(count):
    ways = {20 + 3 * n + n // 4 % 2: WAYS[n % len(WAYS)] for n in range(count)}
    with losing(ways) as server:
        found = watch(server.port, 2, rate=200).losses
    assert found.asks == server.arrived == 400
    expected = [ways[number] for number in ways]
    assert found.lost == {way: expected.count(way) for way in set(expected)}
    assert count < 100 or set(server.kept) == set(WAYS)  # on kept connections as on new ones


def test_an_answer_that_ends_within_its_head_is_cut():
    with losing({20: "cut head", 21: "cut head"}) as server:
        found = watch(server.port, 1)
    assert found.losses.lost == {"cut": 2}


def test_what_hangs_after_the_last_ask_makes_no_gap():
    with losing({48: "timed out"}) as server:
        found = watch(server.port, 0.5)
    assert found.now() > 1.4
    assert found.losses.gap[0] < 0.4


def test_an_ask_that_nobody_accepts_is_counted_as_refused():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = watch(port, 1)
    assert found.losses.lost == {"refused": 100}
    assert found.kind is Kind.UNREACHED


@pytest.mark.parametrize("lost", [10, 99, 100])
def test_an_ask_that_is_lost_decides_nothing_about_the_release_not_even_the_last(lost):
    with losing({lost: "5xx"}) as server:
        found = watch(server.port, 1)
    assert found.losses.lost == {"5xx": 1}
    assert found.kind is Kind.PROVEN


def test_every_address_is_asked_in_turn_on_both_kinds_of_connections():
    with losing({}) as one, losing({}, at=("127.0.0.2", one.port)) as other:
        found = watch(one.port, 1, addresses=("127.0.0.1", "127.0.0.2"))
    assert (one.arrived, other.arrived) == (50, 50)
    assert found.losses.lost == {}


def test_a_name_is_looked_up_again_each_second_and_not_for_each_ask():
    looked_up = []

    def resolve(target, _seconds):
        looked_up.append(target.host)
        return ("127.0.0.1",)

    answer = Answer("", 200, {"content-type": "application/json"}, BODY, 0.001)
    plan = RolloutPlan(targets=(Target.parse("http://pets"),))
    found = Watch(plan, (lambda *_: answer,) * 2, resolve, SystemClock())
    found.run(20, 2.5)
    assert found.losses.asks == 50
    assert 2 <= len(looked_up) <= 10  # several asks at once may each find it too old


def test_targets_that_are_printed_alike_are_counted_apart():
    targets = [Target.parse(f"http://127.0.0.1/x?key={key}") for key in ("sesame", "barley")]

    def get(target, _addresses, _seconds):
        name = "1" if target == targets[0] else "2"
        names = {"petsage-release": name, "petsage-instance": name}
        return Answer("", 200, {"content-type": "application/json"} | names, BODY, 0.001)

    plan = RolloutPlan(targets=tuple(targets))
    found = Watch(plan, (get, get), lambda *_: ("127.0.0.1",), SystemClock())
    found.run(200, 0.5)
    assert (found.losses.asks, found.kind) == (100, Kind.PROVEN)


def test_a_kept_connection_that_the_server_has_closed_meanwhile_loses_nothing():
    with losing({}, closes=True) as server:
        found = watch(server.port, 2, rate=50).losses
    assert (found.asks, found.lost) == (100, {})


def test_it_ends_a_little_after_the_release_is_proven():
    with losing({}, turn_at=50) as server:
        found = watch(server.port, 60, release="r2")
    assert found.kind is Kind.PROVEN
    assert found.now() < 20
    summed = found.losses
    assert summed.turn is not None
    assert found.losses.asked_until >= summed.turn[0] + 3
    assert list(summed.releases) == ["r1", "r2"]


def test_a_machine_that_is_too_slow_itself_starts_asks_late_and_says_so():
    held_up = threading.Event()
    with losing({}) as server:
        found = watch(server.port, 1, tick=lambda *_: held_up.wait(0.3))
    assert found.losses.late_seconds > 0.2


def test_a_hung_server_makes_no_ask_late():
    with losing(dict.fromkeys(range(1, 1000), "timed out")) as server:
        found = watch(server.port, 2, rate=50).losses
    assert found.lost == {"timed out": 100}
    assert found.asks == 100
