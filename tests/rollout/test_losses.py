"""Promises of the sums over a watch: nothing is counted twice, or not at all."""

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from petsage.client import Target
from petsage.rollout.losses import MOST_NAMES, Ask, Loss, Losses
from petsage.rollout.verdict import Finding

ONE, OTHER = Target.parse("http://one/x"), Target.parse("http://other/x")


@st.composite
def asks(draw):
    ended = draw(st.floats(0, 100))
    return Ask(
        target=draw(st.sampled_from([ONE, OTHER])),
        due=ended - draw(st.floats(0, 5)),
        late_seconds=draw(st.floats(0, 1)),
        ended=ended,
        loss=draw(st.none() | st.sampled_from(Loss)),
        finding=Finding(
            "",
            release=draw(st.sampled_from(["", "r1", "r2", "r3"])),
            instance=draw(st.sampled_from(["", "i1", "i2"])),
        ),
    )


MANY = st.lists(asks(), max_size=40, unique_by=lambda one: one.ended)


def losses(given_asks, until):
    found = Losses({one.target for one in given_asks})
    found.asked_until = until
    for one in sorted(given_asks, key=lambda one: one.ended):
        found.add(one)
    return found


def ask(ended, loss=None, release="r1", instance="i1", due=None, target=ONE):
    finding = Finding("", release=release, instance=instance)
    return Ask(target, ended if due is None else due, 0.0, ended, finding, loss)


def steady(first, last, step=0.5, **more):
    return [ask(first + i * step, **more) for i in range(int((last - first) / step) + 1)]


@given(MANY)
def test_each_ask_is_answered_or_lost_in_one_way(given_asks):
    found = losses(given_asks, 200)
    assert found.asks == len(given_asks) == found.answered + sum(found.lost.values())
    assert found.lost == Counter(one.loss for one in given_asks if one.loss)


@given(MANY)
def test_latencies_are_those_before_during_and_after_the_turn(given_asks):
    found = losses(given_asks, 200)
    first, last = found.turn or (math.inf, math.inf)
    phases = {}
    for one in given_asks:
        if not one.loss:
            phase = "before" if one.ended < first else "during" if one.ended <= last else "after"
            phases.setdefault(phase, []).append(round(one.ended - one.due, 4))
    ranked = {phase: sorted(seconds) for phase, seconds in phases.items()}
    assert found.latencies == {
        phase: (s[math.ceil(len(s) / 2) - 1], s[math.ceil(len(s) * 0.99) - 1], s[-1])
        for phase, s in ranked.items()
    }


@given(MANY)
def test_no_good_answer_lies_within_the_longest_gap(given_asks):
    seconds, began, target = losses(given_asks, 200).gap
    good = [one.ended for one in given_asks if one.target.url == target and not one.loss]
    assert not [at for at in good if began + 1e-9 < at < began + seconds - 1e-9]


def test_the_longest_gap_is_that_of_one_target_whatever_the_others_answer():
    one = [ask(at) for at in (0, 1, 8, 9)]
    other = [ask(at, target=OTHER) for at in range(10)]
    assert losses(one + other, 10).gap == (7, 1, ONE.url)


def test_a_gap_is_that_of_one_target_though_another_is_printed_alike():
    alike = [Target.parse(f"http://one/x?key={secret}") for secret in ("sesame", "barley")]
    other = [ask(at, target=alike[1]) for at in range(10)]
    assert losses([ask(1, target=alike[0]), *other], 10).gap == (9, 1, "http://one/x?key=***")


def test_a_gap_that_has_not_ended_counts():
    assert losses([ask(1), ask(2, Loss.REFUSED)], 9).gap == (8, 1, ONE.url)
    assert losses([ask(2, Loss.REFUSED)], 9).gap == (9, 0, ONE.url)


def test_the_turn_lasts_from_the_new_releases_first_answer_to_the_old_ones_last():
    found = losses([*steady(0, 6), *steady(4.2, 9, release="r2", instance="i2")], 9)
    assert found.turn == (4.2, 6)
    assert set(found.latencies) == {"before", "during", "after"}
    assert (found.releases["r1"].last_at, found.releases["r2"].first_at) == (6, 4.2)


def test_a_turn_in_which_no_release_overlaps_has_no_length():
    assert losses([*steady(0, 3), *steady(4, 6, release="r2")], 6).turn == (4, 4)


def test_a_single_release_has_no_turn():
    assert losses(steady(0, 3), 3).turn is None


def test_what_is_lost_around_an_instances_ends_is_counted_with_it_once():
    lost = [ask(at, Loss.RESET, "", "") for at in (2.1, 2.9, 5.0)]
    found = losses([*steady(0, 2), *lost, *steady(3, 9, instance="i2")], 9)
    assert found.lost_around(found.instances["i1"]) == 2
    assert found.lost_around(found.instances["i2"]) == 2
    assert (found.instances["i1"].last_at, found.instances["i2"].first_at) == (2, 3)


def test_a_latency_begins_when_the_ask_was_due():
    found = losses([ask(1.5, due=1), ask(2.25, due=2), ask(3.25, due=3)], 4)
    assert found.latencies == {"before": (0.25, 0.5, 0.5)}


def test_a_server_that_invents_a_name_for_each_answer_fills_no_memory():
    found = losses([ask(at, instance=f"i{at}") for at in range(1000)], 1000)
    assert len(found.instances) == MOST_NAMES + 1
    assert found.instances["others"].answers == 1000 - MOST_NAMES
