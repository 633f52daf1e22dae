"""Promises of what is rendered: once a second at most, whoever asks."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from petsage.management.recent import Recent
from tests.fakes import ManualClock


def test_within_a_second_each_thing_is_rendered_once():
    clock, bodies = ManualClock(), iter("abcd")
    recent = Recent(clock)
    asked = [recent.get("page", lambda: next(bodies)) for _ in range(3)]
    other = recent.get("json", lambda: next(bodies))
    clock.time += 1
    assert (asked, other) == (["a", "a", "a"], "b")
    assert recent.get("page", lambda: next(bodies)) == "c"


def test_nobody_waits_for_a_slow_rendering_but_the_first():
    clock = ManualClock()
    recent = Recent(clock)
    recent.get("page", lambda: "old")
    clock.time += 1
    begun, go = threading.Event(), threading.Event()

    def slow():
        begun.set()
        assert go.wait(10)
        return "new"

    with ThreadPoolExecutor(1) as pool:
        rendering = pool.submit(recent.get, "page", slow)
        assert begun.wait(10)
        assert recent.get("page", slow) == "old"
        go.set()
        assert rendering.result(10) == "new"


def test_a_clock_that_is_set_back_keeps_no_body():
    clock, bodies = ManualClock(), iter("ab")
    recent = Recent(clock)
    asked = [recent.get("page", lambda: next(bodies))]
    clock.time -= 600
    assert [*asked, recent.get("page", lambda: next(bodies))] == ["a", "b"]


def test_what_fails_to_render_is_rendered_anew():
    recent = Recent(ManualClock())
    with pytest.raises(ZeroDivisionError):
        recent.get("page", lambda: str(1 // 0))
    assert recent.get("page", lambda: "well") == "well"


def test_who_asks_while_another_renders_gets_nothing_that_is_old():
    clock = ManualClock()
    recent = Recent(clock)
    recent.get("page", lambda: "5 s old")
    clock.time += 5
    begun, go = threading.Event(), threading.Event()

    def slow():
        begun.set()
        assert go.wait(10)
        return "new"

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(recent.get, "page", slow)]
        assert begun.wait(10)
        asked.append(pool.submit(recent.get, "page", slow))
        assert recent.get("json", lambda: "waits for no page") == "waits for no page"
        go.set()
        assert [one.result(10) for one in asked] == ["new", "new"]
