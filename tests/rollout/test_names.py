"""A name that hangs costs one thread, however often it is asked for."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from petsage.client import NoAnswer, Target
from petsage.rollout.names import THREADS, Names


def named(host: str) -> Target:
    return Target.parse(f"http://{host}")


def test_names_that_hang_take_no_more_threads_than_there_are_for_names() -> None:
    go, asked = threading.Event(), []

    def hangs(host: str) -> tuple[str, ...]:
        asked.append(host)
        go.wait(30)
        return ("10.0.0.1",)

    names, before = Names(look_up=hangs), threading.active_count()
    for number in [*range(150), *range(150)]:
        with suppress(NoAnswer):
            names.resolve(named(f"pets{number}"), 0)
    assert threading.active_count() - before == THREADS
    go.set()
    assert names.resolve(named("pets149"), 30) == ("10.0.0.1",)
    assert len(asked) == len(set(asked)) == 150


def test_a_name_is_looked_up_again_when_the_last_look_up_is_over() -> None:
    replies = iter([("10.0.0.1",), ("10.0.0.2",)])
    names = Names(look_up=lambda _host: next(replies))
    found = [names.resolve(named("pets"), 30) for _ in range(2)]
    assert found == [("10.0.0.1",), ("10.0.0.2",)]


class Host(str):
    """A name with which something happens when it is about to be put into a table."""

    happens: Callable[[], None]
    hashed = 0

    def __hash__(self) -> int:
        self.hashed += 1
        if self.hashed == 2:  # the first time was to see that it is not there
            self.happens()
        return super().__hash__()


def test_two_who_ask_for_a_name_at_once_share_one_look_up() -> None:
    begun, go, asked = threading.Event(), threading.Event(), []

    def hangs(host: str) -> tuple[str, ...]:
        asked.append(host)
        begun.set()
        assert go.wait(30)
        return ("10.0.0.1",)

    def gives_up(target: Target) -> None:
        with suppress(NoAnswer):
            names.resolve(target, 0)

    def another_asks() -> None:
        other.start()
        other.join(0.1)

    names, host = Names(look_up=hangs), Host("pets")
    other = threading.Thread(target=gives_up, args=[named("pets")])
    host.happens = another_asks
    gives_up(replace(named("pets"), host=host))
    other.join(30)  # both have asked before the look-up ends
    assert begun.wait(30)
    go.set()
    names.resolve(named("last"), 30)
    assert asked == ["pets", "last"]


def test_what_needs_no_look_up_takes_none() -> None:
    names = Names(look_up=lambda _host: ())
    assert names.resolve(replace(named("pets"), addresses=("10.0.0.1",)), 30) == ("10.0.0.1",)
    assert names.resolve(named("[::1]"), 30) == ("::1",)
    assert names.resolve(Target.parse("unix:/run/pets.sock"), 30) == ()


def test_a_name_has_each_of_its_addresses_once() -> None:
    found = Names().resolve(named("localhost"), 30)
    assert "127.0.0.1" in found
    assert len(set(found)) == len(found)


def test_a_look_up_that_hangs_is_given_up() -> None:
    over = threading.Event()
    try:
        with pytest.raises(NoAnswer) as raised:
            Names(look_up=lambda _host: ()[: over.wait(30)]).resolve(named("pets"), 0.1)
    finally:
        over.set()
    assert isinstance(raised.value.__cause__, TimeoutError)


def test_an_unknown_name_is_no_answer() -> None:
    def unknown(_host: str) -> tuple[str, ...]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(NoAnswer) as raised:
        Names(look_up=unknown).resolve(named("pets"), 30)
    assert isinstance(raised.value.__cause__, socket.gaierror)
