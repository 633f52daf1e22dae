"""Promises of the ledger: who was answered what and when, however many agents there are."""

import threading
from collections.abc import Callable

from petsage.management.ledger import ENTRIES, Ledger


def test_equal_answers_in_a_row_are_one_entry():
    ledger = Ledger(0)
    for now in (10, 20, 30):
        ledger.enter("ready", "kubelet", 200, "", now)
    (entry,) = ledger.entries()
    assert (entry.times, entry.first_at, entry.last_at) == (3, 10, 30)


def test_another_answer_begins_a_new_entry_and_keeps_the_old_one():
    ledger = Ledger(0)
    for now, code, reason in ((1, 200, ""), (2, 503, "a"), (3, 503, "b"), (4, 200, "")):
        ledger.enter("ready", "kubelet", code, reason, now)
    assert [(e.code, e.reason, e.times) for e in ledger.entries()] == [
        (200, "", 1),
        (503, "b", 2),
        (200, "", 1),
    ]


def test_a_last_answer_for_another_reason_does_not_cover_those_before_it():
    ledger = Ledger(0)
    for now in range(600):
        ledger.enter("ready", "kubelet", 503, f"database: refused {now}", now, failed=("database",))
    ledger.enter("ready", "kubelet", 503, "cache: down", 600, failed=("cache",))
    assert [(e.reason, e.times) for e in ledger.entries()] == [
        ("cache: down", 1),
        ("database: refused 599", 600),
    ]


def test_who_asks_for_one_check_has_another_entry_than_who_asks_for_all():
    ledger = Ledger(0)
    for choice in ("", "disk", "", "without disk"):
        ledger.enter("ready", "curl", 200, "", 1, choice)
    assert [(e.asked, e.times) for e in ledger.entries()] == [
        ("without disk", 1),
        ("", 2),
        ("disk", 1),
    ]


def test_agents_and_probes_have_entries_of_their_own():
    ledger = Ledger(0)
    for probe, agent in (("live", "a"), ("ready", "a"), ("ready", "b"), ("live", "a")):
        ledger.enter(probe, agent, 200, "", 1)
    assert [(e.probe, e.agent, e.times) for e in ledger.entries()] == [
        ("live", "a", 2),
        ("ready", "b", 1),
        ("ready", "a", 1),
    ]


def test_it_does_not_grow_with_agents_nor_with_the_length_of_their_names():
    ledger = Ledger(0)
    for i in range(10_000):
        ledger.enter("live", f"{i}\n\x1b[31m" + "x" * 10_000, 200, "y" * 10_000, i)
    entries = ledger.entries()
    assert len(entries) == ENTRIES
    assert entries[0].last_at == 9999
    assert max(len(e.agent) + len(e.reason) for e in entries) <= 400
    assert all(e.agent.isprintable() for e in entries)
    assert ledger.answers() == {("live", 200): 10_000}


class Name(str):
    """The name of a check in whose comparison something happens: in the midst of the ledger."""

    happens: Callable[[], None]

    def __eq__(self, other: object) -> bool:
        self.happens()
        return str(self) == other

    __hash__ = str.__hash__


def test_whoever_comes_while_an_answer_is_entered_waits_until_it_is() -> None:
    ledger = Ledger(0)
    done: list[object] = []
    done_meanwhile: list[object] = []
    others = [
        threading.Thread(target=lambda: done.append(ledger.entries())),
        threading.Thread(target=lambda: done.append(ledger.answers())),
        threading.Thread(target=lambda: done.append(enter("database"))),
    ]

    def enter(name: str) -> str:
        ledger.enter("ready", "kubelet", 503, "", 1, failed=(name,))
        return name

    def others_come() -> None:
        for other in others:
            other.start()
        for other in others:
            other.join(0.1)
        done_meanwhile[:] = done

    enter("database")
    name = Name("database")
    name.happens = others_come
    enter(name)
    name.happens = lambda: None
    for other in others:
        other.join(10)
    assert done_meanwhile == []
    assert len(done) == 3
    assert ledger.answers() == {("ready", 503): 3}
    assert [entry.times for entry in ledger.entries()] == [3]
