"""A name that hangs costs one thread, however often it is asked for."""

import threading
from contextlib import suppress

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

    names, before = Names({}, look_up=hangs), threading.active_count()
    for number in [*range(150), *range(150)]:
        with suppress(NoAnswer):
            names.resolve(named(f"pets{number}"), 0)
    assert threading.active_count() - before == THREADS
    go.set()
    assert names.resolve(named("pets149"), 30) == ("10.0.0.1",)
    assert len(asked) == len(set(asked)) == 150


def test_a_name_is_looked_up_again_when_the_last_look_up_is_over() -> None:
    replies = iter([("10.0.0.1",), ("10.0.0.2",)])
    names = Names({}, look_up=lambda _host: next(replies))
    found = [names.resolve(named("pets"), 30) for _ in range(2)]
    assert found == [("10.0.0.1",), ("10.0.0.2",)]


def test_what_needs_no_look_up_is_known() -> None:
    names = Names({("pets", 80): ("10.0.0.1",)})
    assert names.known(named("pets")) == ("10.0.0.1",)
    assert names.known(named("pets:81")) is None
    assert names.known(named("[::1]")) == ("::1",)
    assert names.known(Target.parse("unix:/run/pets.sock")) == ()
