"""Promises of the sums over a watch: nothing is counted twice, or not at all."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from petsage.rollout.losses import Ask, Loss, losses

MOMENTS = st.floats(0, 100)


@st.composite
def asks(draw):
    due = draw(MOMENTS)
    return Ask(
        target=draw(st.sampled_from(["one", "other"])),
        due=due,
        late_seconds=draw(st.floats(0, 1)),
        ended=due + draw(st.floats(0, 5)),
        loss=draw(st.none() | st.sampled_from(Loss)),
        release=draw(st.sampled_from(["", "r1", "r2"])),
        instance=draw(st.sampled_from(["", "i1", "i2"])),
    )


def ask(ended, loss=None, release="r1", instance="i1", due=None):
    return Ask("t", ended if due is None else due, 0.0, ended, loss, release, instance)


def steady(first, last, step=0.5, **more):
    return [ask(first + i * step, **more) for i in range(int((last - first) / step) + 1)]


@given(st.lists(asks(), max_size=40))
def test_each_ask_is_answered_or_lost_in_one_way(given_asks):
    found = losses(given_asks, 200)
    assert found.asks == len(given_asks) == found.answered + sum(found.lost.values())
    assert found.lost == Counter(one.loss for one in given_asks if one.loss)


@given(st.lists(asks(), max_size=40), st.randoms())
def test_the_order_in_which_answers_arrive_means_nothing(given_asks, random):
    shuffled = list(given_asks)
    random.shuffle(shuffled)
    found, other = losses(given_asks, 200), losses(shuffled, 200)
    assert (found.gap[0], found.turn, found.lost) == (other.gap[0], other.turn, other.lost)
    assert found.latencies == other.latencies


@given(st.lists(asks(), max_size=40))
def test_no_good_answer_lies_within_the_longest_gap(given_asks):
    seconds, began, target = losses(given_asks, 200).gap
    good = [one.ended for one in given_asks if one.target == target and not one.loss]
    assert not [at for at in good if began + 1e-9 < at < began + seconds - 1e-9]


def test_the_longest_gap_is_that_of_one_target_whatever_the_others_answer():
    one = [Ask("one", at, 0, at, release="r1") for at in (0, 1, 8, 9)]
    other = [Ask("other", at, 0, at, release="r1") for at in range(10)]
    assert losses(one + other, 10).gap == (7, 1, "one")


def test_a_gap_that_has_not_ended_counts():
    assert losses([ask(1), ask(2, Loss.REFUSED)], 9).gap == (8, 1, "t")
    assert losses([], 5).gap == (5, 0, "")


def test_the_turn_lasts_from_the_new_releases_first_answer_to_the_old_ones_last():
    found = losses([*steady(0, 6), *steady(4.2, 9, release="r2", instance="i2")], 9)
    assert found.turn == (4.2, 6)
    assert set(found.latencies) == {"before", "during", "after"}
    assert (found.releases["r1"].last, found.releases["r2"].first) == (6, 4.2)


def test_a_hard_turn_has_no_length():
    assert losses([*steady(0, 3), *steady(4, 6, release="r2")], 6).turn == (4, 4)


def test_of_one_release_there_is_no_turn():
    assert losses(steady(0, 3), 3).turn is None


def test_what_is_lost_around_an_instances_ends_is_counted_with_it_once():
    lost = [ask(at, Loss.RESET, "", "") for at in (2.1, 2.9, 5.0)]
    found = losses([*steady(0, 2), *lost, *steady(3, 9, instance="i2")], 9)
    assert found.instances["i1"].lost_around == 2
    assert found.instances["i2"].lost_around == 2
    assert (found.instances["i1"].last, found.instances["i2"].first) == (2, 3)


def test_a_latency_begins_when_the_ask_was_due():
    found = losses([ask(1.5, due=1), ask(2.25, due=2), ask(3.25, due=3)], 4)
    assert found.latencies == {"before": (0.25, 0.5, 0.5)}
