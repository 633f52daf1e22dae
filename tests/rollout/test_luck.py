"""No verdict comes by luck: the pure judge, without time, threads or sockets."""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from petsage.client import Target
from petsage.contract import Breach, Kind
from petsage.rollout.plan import RolloutPlan
from petsage.rollout.record import MOST_INSTANCES, TargetRecord, quiet_answers
from petsage.rollout.verdict import Finding

PETS = Target.parse("http://pets")
BROKEN = Breach(Kind.WRONG, "status", "200", "503", retryable=True)
Balancer = Callable[[int], int]


def found(release: str, instance: str, broken: bool = False) -> Finding:
    return Finding(
        PETS.url, "", BROKEN if broken else None, 503 if broken else 200, release, instance
    )


NEW = [found("2", f"i{n}") for n in range(12)]
OLD = [found("1", f"i{n}") for n in range(12)]


def round_robin(rng: random.Random, replicas: int) -> Balancer:
    start = rng.randrange(replicas)
    return lambda number: (start + number) % replicas


def at_random(rng: random.Random, replicas: int) -> Balancer:
    return lambda _number: int(rng.random() * replicas)


def good_round(record: TargetRecord, answer: Callable[[], Finding]) -> bool:
    """Runs a round; returns whether it finds no breach."""
    record.begin()
    record.resolved(("10.0.0.1",))
    while more := record.to_ask():
        for _ in more:
            record.add(answer(), 0.0)
    record.end(0.0)
    return not record.breaches


def is_lucky(seed: int) -> bool:
    """Whether a rollout counts as proven while some replicas still run the old release."""
    rng = random.Random(seed)
    replicas = rng.randint(2, 12)
    balancer = rng.choice([round_robin, at_random])(rng, replicas)
    turns_at = [rng.choice([0, 0, rng.randrange(200), 10**9]) for _ in range(replicas)]
    numbers = itertools.count()

    def answer() -> Finding:
        number = next(numbers)
        replica = balancer(number)
        return (NEW if number >= turns_at[replica] else OLD)[replica]

    record = TargetRecord(RolloutPlan(targets=(PETS,), release="2"), PETS)
    for _ in range(3):
        if good_round(record, answer):
            return next(numbers) < max(turns_at)
    return False


def test_of_20_000_rollouts_none_is_proven_while_a_replica_is_old() -> None:
    assert [seed for seed in range(20_000) if is_lucky(seed)] == []


def test_a_finished_rollout_is_proven_in_one_round() -> None:
    for replicas in range(1, 13):
        for balance in (round_robin, at_random):
            balancer = balance(random.Random(replicas), replicas)
            numbers = itertools.count()
            record = TargetRecord(RolloutPlan(targets=(PETS,), release="2"), PETS)
            assert good_round(record, lambda: NEW[balancer(next(numbers))])  # noqa: B023
            assert len(record.seen()) == replicas
            assert next(numbers) < 3 * quiet_answers(replicas)


@given(st.integers(1, MOST_INSTANCES))
def test_one_more_instance_stays_unseen_with_a_chance_below_1_in_100_000(instances: int) -> None:
    assert (instances / (instances + 1)) ** quiet_answers(instances) < 1e-5


def test_the_number_of_answers_is_the_documented_one() -> None:
    assert [quiet_answers(n) for n in (1, 2, 3, 4, 6)] == [17, 29, 41, 54, 83]


answers = st.tuples(st.integers(0, 3), st.sampled_from("12"), st.booleans())


@settings(max_examples=300, deadline=None)
@given(
    st.lists(answers, min_size=1, max_size=60),
    st.lists(answers.filter(lambda one: not one[2]), min_size=1, max_size=4),
    st.integers(0, 3),
)
def test_an_instance_that_was_wrong_must_be_right_again_or_absent_for_long_enough(
    troubled: list[tuple[int, str, bool]], calm: list[tuple[int, str, bool]], instances: int
) -> None:
    said = itertools.chain(troubled, itertools.cycle(calm))
    heard: list[Finding] = []

    def answer() -> Finding:
        name, release, broken = next(said)
        heard.append(found(release, f"i{name}" if name else "", broken))
        return heard[-1]

    record = TargetRecord(RolloutPlan(targets=(PETS,), release="2", instances=instances), PETS)
    for _ in range(70):
        if good_round(record, answer):
            for name in {one.instance for one in heard}:
                last = max(at for at, one in enumerate(heard) if one.instance == name)
                others = {one.instance for one in heard[last + 1 :]}
                wrong = heard[last].breach or heard[last].release != "2"
                assert not wrong or len(heard) - last - 1 >= quiet_answers(len(others))


def test_a_new_name_with_every_answer_ends_the_round_and_proves_nothing() -> None:
    numbers = itertools.count()
    record = TargetRecord(RolloutPlan(targets=(PETS,), release="2"), PETS)
    assert not good_round(record, lambda: found("2", str(next(numbers))))
    (breach,) = record.breaches
    assert (breach.kind, breach.retryable) == (Kind.INCONCLUSIVE, False)
    assert next(numbers) < MOST_INSTANCES + 20


def test_new_names_without_an_end_fill_no_memory() -> None:
    record = TargetRecord(RolloutPlan(targets=(PETS,), release="2"), PETS)
    for number in range(2 * MOST_INSTANCES):
        record.resolved(("10.0.0.1",))
        record.add(found("2", str(number)), number)
        if not record.to_ask():
            record.begin()
    assert len(record.seen()) == MOST_INSTANCES


def test_an_answer_that_comes_after_its_address_has_vanished_counts_no_more() -> None:
    record = TargetRecord(RolloutPlan(targets=(PETS,), every_address=True), PETS)
    record.resolved(("A", "B"))
    record.resolved(("B",))
    for address in "AB":
        record.add(replace(found("2", address, broken=address == "A"), address=address), 1.0)
    record.end(1.0)
    assert [(row.address, row.breach) for row in record.rows] == [("B", None)]


def test_a_wrong_instance_is_named_with_the_time_when_it_was_seen() -> None:
    record = TargetRecord(RolloutPlan(targets=(PETS,), release="2", instances=1), PETS)
    for at, finding in ((1.0, found("1", "old")), (4.5, found("2", "new"))):
        record.begin()
        record.resolved(("10.0.0.1",))
        record.add(finding, at)
        record.end(4.5)
    (row,) = (row for row in record.rows if row.breach)
    assert str(row.breach) == (
        "release: expected 2, saw 1 from instance old (last seen 3.5 s ago); 2 from instance new"
    )


def test_a_broken_instance_is_remembered_beside_good_ones() -> None:
    record = TargetRecord(RolloutPlan(targets=(PETS,), instances=1), PETS)
    for finding in (found("2", "ill", broken=True), found("2", "well")):
        record.begin()
        record.resolved(("10.0.0.1",))
        record.add(finding, 1.0)
        record.end(3.0)
    (breach,) = record.breaches
    assert breach.seen == "503 from instance ill, last seen 2.0 s ago"


def test_a_broken_answer_is_in_the_row_though_a_good_one_came_after_it() -> None:
    record = TargetRecord(RolloutPlan(targets=(PETS,), instances=1), PETS)
    record.begin()
    record.resolved(("10.0.0.1",))
    for broken in (True, False):
        record.add(found("2", "a", broken), 1.0)
    record.end(1.0)
    (row,) = record.rows
    assert row.breach is BROKEN
