"""A rollout goes on until it holds, cannot hold, or its time is up: with fake answers and time."""

import itertools
import re
import threading
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from petsage.client import Answer, NoAnswer, Target
from petsage.contract import Kind
from petsage.rollout.asking import PAUSES, Progress
from petsage.rollout.plan import RolloutPlan
from petsage.rollout.pool import THREADS
from petsage.rollout.rollout import Outcome, Rollout
from petsage.rollout.verdict import EVERY, Finding
from tests.hostile import BODY
from tests.support import wait_until

PETS = Target.parse("http://pets")
CATS = Target.parse("http://cats")
Get = Callable[[Target, tuple[str, ...], float], Answer]


@dataclass
class WaitingClock:
    """A clock whose time passes only while somebody waits."""

    time: float = 1000.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def wait(self, _event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.time += seconds
        return False


def good(release: str = "2", instance: str = "", status: int = 200, body: bytes = BODY) -> Answer:
    headers = {
        "content-type": "application/json",
        "petsage-release": release,
        "petsage-instance": instance,
    }
    return Answer("", status, headers, body, 0.001)


def refused() -> NoAnswer:
    return failed(ConnectionRefusedError(111, "Connection refused"))


def failed(cause: BaseException) -> NoAnswer:
    error = NoAnswer("connecting")
    error.__cause__ = cause
    return error


def in_turn(*says: Answer | NoAnswer) -> Get:
    """Gives one answer after the other, and then the last one again and again."""
    turns = itertools.chain(says, itertools.repeat(says[-1]))

    def get(_target: Target, _addresses: tuple[str, ...], _seconds: float) -> Answer:
        said = next(turns)
        if isinstance(said, NoAnswer):
            raise said
        return said

    return get


def by_address(**says: Get) -> Get:
    return lambda target, addresses, seconds: says[addresses[0]](target, addresses, seconds)


def resolving(*rounds: Iterable[str]) -> Callable[[Target, float], tuple[str, ...]]:
    turns = itertools.chain(rounds, itertools.repeat(rounds[-1]))
    return lambda _target, _seconds: tuple(next(turns))


def run(
    get: Get,
    *,
    clock: WaitingClock | None = None,
    resolve: Callable[[Target, float], tuple[str, ...]] | None = None,
    progress: Progress | None = None,
    targets: tuple[Target, ...] = (PETS,),
    **wanted: Any,
) -> Outcome:
    plan = RolloutPlan(targets=targets, **wanted)
    progress, clock = progress or Progress(), clock or WaitingClock()
    return Rollout(plan, get, resolve or resolving(["A"]), progress, clock, lambda: 0).run()


def breaches(outcome: Outcome) -> list[str]:
    return [f"{row.address}: {row.breach}" for row in outcome.rows if row.breach]


def test_one_good_round_is_enough() -> None:
    outcome = run(in_turn(good()))
    assert (outcome.kind, outcome.rounds, outcome.requests) == (Kind.PROVEN, 1, 1)
    assert outcome.rows == (Finding(PETS.url, "", None, 200, "2", "", 0.001),)


def test_without_wait_the_first_breach_ends_it() -> None:
    clock = WaitingClock()
    outcome = run(in_turn(refused(), good()), clock=clock)
    assert (outcome.kind, outcome.rounds) == (Kind.UNREACHED, 1)
    assert clock.waits == []


@pytest.mark.parametrize(
    "ill",
    [
        refused(),
        failed(TimeoutError()),
        failed(ConnectionResetError(104, "reset")),
        good(status=503),
        good(status=404),
        good(release="1"),
    ],
)
def test_a_retryable_breach_is_waited_for(ill: Answer | NoAnswer) -> None:
    outcome = run(in_turn(ill, ill, good()), wait_seconds=60, release="2")
    assert (outcome.kind, outcome.rounds) == (Kind.PROVEN, 3)


@pytest.mark.parametrize("ill", [good(status=401), good(status=403), good(body=b"{}")])
def test_a_breach_that_is_not_retryable_ends_it_at_once(ill: Answer) -> None:
    outcome = run(in_turn(ill, good()), wait_seconds=60, consecutive=3)
    assert (outcome.kind, outcome.rounds) == (Kind.WRONG, 1)


def test_a_name_that_does_not_resolve_yet_is_waited_for() -> None:
    def unknown() -> Iterable[str]:
        raise refused()
        yield ""

    outcome = run(in_turn(good()), resolve=resolving(unknown(), ["A"]), wait_seconds=9)
    assert (outcome.kind, outcome.rounds, outcome.requests) == (Kind.PROVEN, 2, 1)


def test_each_pause_is_longer_up_to_a_bound_and_all_end_at_the_deadline() -> None:
    clock = WaitingClock()
    outcome = run(in_turn(refused()), clock=clock, wait_seconds=60)
    assert clock.waits[:7] == [0.25, 0.5, 1, 2, 4, 5, 5]
    assert 59.9 < sum(clock.waits) <= 60
    assert outcome.kind is Kind.UNREACHED


def test_near_the_deadline_a_pause_is_half_of_what_is_left() -> None:
    clock = WaitingClock()
    run(in_turn(refused()), clock=clock, wait_seconds=1)
    assert clock.waits[:3] == [0.25, 0.375, 0.1875]


def test_addresses_are_compared_only_if_each_is_asked() -> None:
    outcome = run(in_turn(good()), resolve=resolving("AB", "B"), consecutive=2, wait_seconds=9)
    assert (outcome.notes, outcome.rounds) == ((), 2)


def test_jitter_shortens_every_pause() -> None:
    clock = WaitingClock()
    plan = RolloutPlan(targets=(PETS,), wait_seconds=60)
    jitter = itertools.cycle([0.5, 1.0]).__next__
    get = in_turn(refused(), refused(), good())
    Rollout(plan, get, resolving(["A"]), Progress(), clock, jitter).run()
    assert clock.waits == [0.25 * 0.75, 0.5 * 0.5]


def test_rounds_must_be_good_in_a_row() -> None:
    clock = WaitingClock()
    answers = (good(), good(), refused(), good(), good(), good())
    outcome = run(in_turn(*answers), clock=clock, wait_seconds=60, consecutive=3)
    assert (outcome.kind, outcome.rounds) == (Kind.PROVEN, 6)
    assert clock.waits == [1, 1, 0.25, 1, 1]


def test_a_target_that_answers_429_is_asked_again_one_request_at_a_time() -> None:
    clock, accepted, refused = WaitingClock(), [], []
    under_way, at_once = [-1], []  # the look-up, which comes before them, is no request

    def get(_target: Target, _addresses: tuple[str, ...], _seconds: float) -> Answer:
        if len(accepted) >= 30 + 10 * (clock.time - 1000):
            refused.append(clock.time)
            return good(status=429)
        accepted.append("abcd"[len(accepted) % 4])
        return good(instance=accepted[-1])

    class Counts(Progress):
        def found(self, finding: Finding) -> None:
            under_way[0] += 1 if finding.pending else -1
            # Requests that were under way at the first 429 end by themselves.
            if at_once or (refused and not under_way[0]):
                at_once.append(under_way[0])

    outcome = run(get, clock=clock, progress=Counts())
    assert (outcome.kind, outcome.rounds) == (Kind.PROVEN, 1)
    assert outcome.claim == " for the 4 instances seen"
    assert outcome.notes == (f"{PETS.url}: 429, so it was asked slowly",)
    assert max(at_once) == 1


def test_a_limit_that_never_ends_is_a_breach() -> None:
    clock = WaitingClock()
    outcome = run(in_turn(good(status=429)), clock=clock, wait_seconds=40)
    assert breaches(outcome) == [": status: expected 200, saw 429"]
    assert tuple(clock.waits[: len(PAUSES)]) == PAUSES
    clock = WaitingClock()
    assert run(in_turn(good(status=429)), clock=clock, wait_seconds=3).kind is Kind.WRONG
    assert clock.time <= 1003


def test_where_nothing_waits_a_limit_is_a_breach_within_8_seconds() -> None:
    clock = WaitingClock()
    outcome = run(in_turn(*[good(status=429)] * 6, good()), clock=clock)
    assert breaches(outcome) == [": status: expected 200, saw 429"]
    assert clock.waits == [0.25, 0.5, 1, 2, 4]
    assert run(in_turn(*[good(status=429)] * 5, good())).kind is Kind.PROVEN


def test_when_a_limit_uses_up_the_time_the_answers_before_it_stand() -> None:
    get = in_turn(*[good(instance="a")] * 3, good(status=429))
    outcome = run(get, wait_seconds=3)
    assert (outcome.kind, breaches(outcome)) == (Kind.INCONCLUSIVE, [])
    assert f"saw 0; still waiting for {PETS.url} for " in str(outcome.breach)


def test_a_flapping_target_is_never_proven() -> None:
    get = in_turn(*(good(), refused()) * 1000)
    outcome = run(get, wait_seconds=30, consecutive=2)
    assert outcome.kind in (Kind.UNREACHED, Kind.INCONCLUSIVE)


def test_too_few_rounds_at_the_deadline_are_inconclusive() -> None:
    outcome = run(in_turn(good()), wait_seconds=2, consecutive=50)
    assert outcome.kind is Kind.INCONCLUSIVE
    assert str(outcome.breach).startswith("rounds: expected 50 in a row within 2 s, saw ")


def test_the_last_round_is_cut_at_the_deadline_and_the_round_before_stands() -> None:
    clock = WaitingClock()
    given: list[float] = []

    def get(_target: Target, _addresses: tuple[str, ...], seconds: float) -> Answer:
        given.append(seconds)
        if len(given) == 1:
            clock.time += 3
            return good(release="1")
        clock.time += seconds
        raise failed(TimeoutError())

    outcome = run(get, clock=clock, wait_seconds=6, release="2")
    assert given == [5, 2.75]
    assert breaches(outcome) == [
        "all answers: release: expected 2, saw 1 from an answer (last seen 3.0 s ago)"
    ]
    assert outcome.kind is Kind.RELEASE


def cut_short(clock: WaitingClock, *says: Answer) -> Get:
    """Gives one answer after the other, and then hangs until its time is up."""
    turns = iter(says)

    def get(_target: Target, _addresses: tuple[str, ...], seconds: float) -> Answer:
        if said := next(turns, None):
            return said
        clock.time += seconds
        raise failed(TimeoutError())

    return get


def test_a_target_that_hangs_when_time_is_up_is_named_beside_the_best_streak() -> None:
    clock = WaitingClock()
    get = by_address(A=in_turn(good()), B=cut_short(clock, good(), good(), good("1"), good()))
    outcome = run(
        get,
        clock=clock,
        resolve=resolving("AB"),
        every_address=True,
        release="2",
        consecutive=3,
        wait_seconds=6,
    )
    assert (outcome.kind, breaches(outcome)) == (Kind.INCONCLUSIVE, [])
    reported = (
        "rounds: expected 3 in a row within 6 s, saw 2; still waiting for {} at B for {:.1f} s"
    )
    waited = 6 - sum(clock.waits)
    assert str(outcome.breach) == reported.format(PETS.url, waited)


def test_releases_are_judged_over_the_latest_answers_when_time_is_up() -> None:
    for first, second, kind in (("2", "1", Kind.RELEASE), ("1", "2", Kind.INCONCLUSIVE)):
        clock = WaitingClock()
        get = by_address(A=in_turn(good(first), good(second)), B=cut_short(clock, good()))
        outcome = run(
            get,
            clock=clock,
            resolve=resolving("AB"),
            every_address=True,
            release="2",
            consecutive=2,
            wait_seconds=4,
        )
        assert outcome.kind is kind
        assert "still waiting for" in str(outcome.breach)
        assert [row.release for row in outcome.answers] == [second, "2"]


def test_a_mix_behind_one_address_is_the_verdict_when_time_is_up() -> None:
    clock = WaitingClock()
    get = cut_short(clock, good("1", "a"), good("2", "b"))
    outcome = run(get, clock=clock, instances=2, wait_seconds=4)
    assert (outcome.kind, outcome.rounds) == (Kind.RELEASE, 2)


def test_a_connection_that_is_refused_near_the_deadline_is_not_cut() -> None:
    outcome = run(in_turn(good("1"), refused()), release="2", wait_seconds=2)
    assert outcome.kind is Kind.UNREACHED


def test_a_breach_names_the_address_even_if_not_each_one_is_asked() -> None:
    answered = replace(good(status=503), address="10.0.0.3")
    (reported,) = breaches(run(in_turn(answered)))
    assert reported == ": status: expected 200, saw 503 at 10.0.0.3"
    error = refused()
    error.address = "10.0.0.3"
    (reported,) = breaches(run(in_turn(error)))
    assert reported.endswith("saw Connection refused connecting at 10.0.0.3")


def test_all_instances_are_counted() -> None:
    outcome = run(in_turn(*(good(instance=name) for name in "aab")), instances=2)
    assert {row.instance for row in outcome.answers} == {"a", "b"}
    assert sorted((one.latest.instance, one.answers) for one in outcome.seen) == [
        ("a", 2),
        ("b", 1),
    ]


def test_a_good_verdict_claims_no_more_than_was_seen() -> None:
    assert run(in_turn(good())).claim == ", instances unknown"
    assert run(in_turn(good(instance="a"))).claim == " for the 1 instance seen"
    some = in_turn(*(good(instance=name) for name in "ab" * 50))
    assert run(some).claim == " for the 2 instances seen"
    assert run(in_turn(good(instance="a")), instances=1).claim == ""


def test_an_old_instance_that_was_seen_is_the_verdict_when_time_is_up() -> None:
    clock = WaitingClock()
    says = [in_turn(good("1", "old"), good(instance="new")) for _ in range(2)]

    def slow(*asked: Any) -> Answer:
        clock.time += 0.05
        return says[0](*asked)

    outcome = run(slow, clock=clock, instances=1, release="2", wait_seconds=1)
    assert outcome.kind is Kind.RELEASE
    (reported,) = breaches(outcome)
    assert re.search(r"saw 1 from instance old \(last seen \d\.\d s ago\); 2 from", reported)
    del says[0]
    outcome = run(slow, clock=clock, instances=1, release="2", wait_seconds=9)
    assert (outcome.kind, outcome.rounds) == (Kind.PROVEN, 2)


def test_a_target_that_was_never_asked_is_reported_as_such() -> None:
    clock, busy = WaitingClock(), threading.Barrier(THREADS)

    def get(_target: Target, _addresses: tuple[str, ...], _seconds: float) -> Answer:
        busy.wait(30)
        clock.time = 1002.0
        raise failed(TimeoutError())

    many = tuple(Target.parse(f"http://pets{number}") for number in range(THREADS + 1))
    reported = breaches(run(get, clock=clock, targets=many, wait_seconds=2))
    assert len(reported) == THREADS + 1
    assert (
        reported.count(": time: expected an answer within 2 s, saw a time-out before its turn") == 1
    )


def test_the_time_out_of_the_whole_rollout_is_reported() -> None:
    clock = WaitingClock()

    def get(_target: Target, _addresses: tuple[str, ...], seconds: float) -> Answer:
        clock.time += seconds
        raise failed(TimeoutError())

    outcome = run(get, clock=clock, wait_seconds=2)
    assert breaches(outcome) == [": time: expected an answer within 2 s, saw a time-out connecting"]
    assert outcome.kind is Kind.UNREACHED


def test_each_address_is_asked() -> None:
    get = by_address(A=in_turn(good()), B=in_turn(refused()), C=in_turn(good()))
    outcome = run(get, resolve=resolving("ABC"), every_address=True)
    assert [row.address for row in outcome.rows] == ["A", "B", "C"]
    assert breaches(outcome) == [
        "B: connection: expected an answer, saw Connection refused connecting"
    ]


def test_rows_stand_in_the_order_of_the_addresses_whoever_answers_first() -> None:
    answered = {name: threading.Event() for name in "ABC"}

    def get(_target: Target, addresses: tuple[str, ...], _seconds: float) -> Answer:
        (name,) = addresses
        assert name == "C" or answered[chr(ord(name) + 1)].wait(30)
        return good()

    class Seen(Progress):
        def found(self, finding: Finding) -> None:
            if not finding.pending and finding.address:
                answered[finding.address].set()

    outcome = run(get, resolve=resolving("ABC"), every_address=True, progress=Seen())
    assert [row.address for row in outcome.rows] == ["A", "B", "C"]


def test_one_old_replica_of_five_is_a_mix() -> None:
    says = {name: in_turn(good(instance=name.lower())) for name in "ABDE"}
    get = by_address(**says, C=in_turn(good("1", "c")))
    outcome = run(get, resolve=resolving("ABCDE"), every_address=True, release="2")
    (breach,) = breaches(outcome)
    assert breach.startswith(
        "all answers: release: expected 2, saw 1 from instance c at C; 2 from "
    )
    assert outcome.kind is Kind.RELEASE
    assert outcome.rows[-1].address == EVERY


def test_addresses_that_appear_count_and_those_that_vanish_are_noted() -> None:
    get = by_address(A=in_turn(good()), B=in_turn(good()), C=in_turn(refused(), good()))
    outcome = run(
        get, resolve=resolving("AB", "BC"), every_address=True, consecutive=2, wait_seconds=60
    )
    assert outcome.notes == (
        f"round 2: {PETS.url}: C appeared",
        f"round 2: {PETS.url}: A vanished",
    )
    assert [row.address for row in outcome.rows] == ["B", "C"]
    assert (outcome.kind, outcome.rounds) == (Kind.PROVEN, 4)


def test_an_address_that_vanishes_with_its_replica_is_no_breach_any_more() -> None:
    get = by_address(A=in_turn(good()), B=in_turn(refused()))
    outcome = run(get, resolve=resolving("AB", "A"), every_address=True, wait_seconds=30)
    assert (outcome.kind, outcome.rounds) == (Kind.PROVEN, 2)


def test_without_addresses_nothing_is_proven() -> None:
    def get(_target: Target, addresses: tuple[str, ...], _seconds: float) -> Answer:
        assert addresses == ()
        raise refused()

    outcome = run(get, resolve=resolving(()), every_address=True)
    assert outcome.kind is Kind.UNREACHED


def test_instances_are_sought_until_all_are_seen() -> None:
    get = in_turn(*(good(instance=name) for name in "aabac"))
    outcome = run(get, instances=3)
    assert (outcome.kind, outcome.requests) == (Kind.PROVEN, 5)


def test_the_search_for_instances_is_bounded() -> None:
    get = in_turn(*[good(instance=name) for name in "ab"] * 50)
    outcome = run(get, instances=3)
    assert breaches(outcome) == ["all answers: instances: expected 3, saw 2 of 3 in 40 requests"]
    assert outcome.kind is Kind.INCONCLUSIVE


def test_a_breach_ends_the_search_for_instances() -> None:
    outcome = run(in_turn(good(instance="a"), refused(), good(instance="b")), instances=2)
    assert (outcome.kind, outcome.requests) == (Kind.UNREACHED, 2)
    assert breaches(outcome) == [
        ": connection: expected an answer, saw Connection refused connecting"
    ]


def test_a_breach_is_not_hidden_by_a_good_answer_beside_it() -> None:
    outcome = run(in_turn(good(instance="a"), refused(), good(instance="b")), instances=3)
    assert (outcome.kind, outcome.requests) == (Kind.UNREACHED, 3)


def test_the_search_for_instances_begins_with_another_address_each_time() -> None:
    asked = []

    def get(_target: Target, addresses: tuple[str, ...], _seconds: float) -> Answer:
        asked.append("".join(addresses))
        return good(instance=addresses[0])

    assert run(get, resolve=resolving("ABC"), instances=3).kind is Kind.PROVEN
    assert sorted(asked) == ["ABC", "BCA", "CAB"]


def test_instances_are_counted_over_all_addresses_of_a_target() -> None:
    get = by_address(A=in_turn(good(instance="a")), B=in_turn(good(instance="b")))
    outcome = run(get, resolve=resolving("AB"), every_address=True, instances=2)
    assert (outcome.kind, outcome.requests) == (Kind.PROVEN, 2)


def test_of_several_breaches_the_first_in_the_documented_order_decides() -> None:
    get = by_address(A=in_turn(good("1")), B=in_turn(refused()), C=in_turn(good(status=500)))
    for addresses, kind in (("AB", Kind.RELEASE), ("ABC", Kind.WRONG), ("B", Kind.UNREACHED)):
        outcome = run(get, resolve=resolving(addresses), every_address=True, release="2")
        assert outcome.kind is kind


def test_different_targets_may_be_of_different_releases() -> None:
    def get(target: Target, _addresses: tuple[str, ...], _seconds: float) -> Answer:
        return good(target.host)

    assert run(get, targets=(PETS, CATS)).kind is Kind.PROVEN
    assert run(get, targets=(PETS, CATS), release="pets").kind is Kind.RELEASE


def test_a_target_that_hangs_holds_up_no_other() -> None:
    over, seen = threading.Event(), set()
    many = tuple(Target.parse(f"http://pets{number}") for number in range(200))
    hanging = 50

    class Seen(Progress):
        def found(self, finding: Finding) -> None:
            if not finding.pending:
                seen.add(finding.target)
            if len(seen) == len(many) - hanging:
                over.set()

    def get(target: Target, _addresses: tuple[str, ...], _seconds: float) -> Answer:
        if int(target.host.removeprefix("pets")) < hanging:
            assert over.wait(30)
        return good()

    outcome = run(get, targets=many, progress=Seen())
    assert over.is_set()
    assert outcome.kind is Kind.PROVEN


def test_an_interruption_ends_it_with_what_is_known() -> None:
    over = threading.Event()

    class Interrupts(Progress):
        def found(self, finding: Finding) -> None:
            if not finding.pending:
                raise KeyboardInterrupt

    def get(target: Target, _addresses: tuple[str, ...], _seconds: float) -> Answer:
        if target == CATS:
            over.wait(30)
        return good()

    plan = RolloutPlan(targets=(PETS, CATS))
    rollout = Rollout(plan, get, resolving("A"), Interrupts(), WaitingClock())
    outcome = rollout.run()
    over.set()
    assert outcome.kind == 130
    assert [row.target for row in outcome.rows if not row.pending] == [PETS.url]
    assert breaches(outcome) == [": time: expected an answer, saw none yet"]
    assert outcome.requests == 2


def test_an_interruption_reports_who_is_still_waited_for() -> None:
    over, clock = threading.Event(), WaitingClock()
    answers = iter([good(), good()])

    def hangs_in_the_third_round(*_: object) -> Answer:
        if said := next(answers, None):
            return said
        over.wait(30)
        return good()

    class Interrupts(Progress):
        def found(self, finding: Finding) -> None:
            if not finding.pending and finding.address == "A" and next(rounds) == 3:
                clock.time += 2
                raise KeyboardInterrupt

    rounds = itertools.count(1)
    get = by_address(A=in_turn(good()), B=hangs_in_the_third_round)
    plan = RolloutPlan(targets=(PETS,), every_address=True, consecutive=9, wait_seconds=60)
    rollout = Rollout(plan, get, resolving("AB"), Interrupts(), clock)
    outcome = rollout.run()
    over.set()
    assert breaches(outcome) == []
    assert outcome.breach
    assert outcome.breach.seen == f"an interruption; still waiting for {PETS.url} at B for 2.0 s"


def test_nobody_is_asked_after_an_interruption() -> None:
    over, asked = threading.Event(), []

    class Interrupts(Progress):
        def idle(self) -> None:
            raise KeyboardInterrupt

    def get(target: Target, *_: object) -> Answer:
        asked.append(target)
        over.wait(30)
        return good()

    before = set(threading.enumerate())
    many = tuple(Target.parse(f"http://pets{number}") for number in range(3 * THREADS))
    rollout = Rollout(RolloutPlan(targets=many), get, resolving("A"), Interrupts(), WaitingClock())
    rollout.run()
    over.set()
    wait_until(lambda: not set(threading.enumerate()) - before)
    assert len(asked) == THREADS


def test_an_interruption_ends_a_pause() -> None:
    class Interrupts(Progress):
        def round_over(self, number: int, rows: Iterable[Finding]) -> None:
            raise KeyboardInterrupt

    plan = RolloutPlan(targets=(PETS,), wait_seconds=60)
    rollout = Rollout(plan, in_turn(refused()), resolving("A"), Interrupts(), WaitingClock())
    outcome = rollout.run()
    assert (outcome.kind, outcome.rounds) == (Kind.INTERRUPTED, 1)


def test_an_error_in_petsage_itself_is_raised_and_gives_no_verdict() -> None:
    def get(_target: Target, _addresses: tuple[str, ...], _seconds: float) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(get)


def test_no_thread_is_left_behind() -> None:
    before = set(threading.enumerate())
    run(in_turn(good()), targets=(PETS, CATS))
    wait_until(lambda: not set(threading.enumerate()) - before)


def test_many_addresses_of_one_name_take_little_memory() -> None:
    addresses = [f"10.0.{n // 250}.{n % 250}" for n in range(3000)]
    tracemalloc.start()
    try:
        outcome = run(in_turn(good()), resolve=resolving(addresses), every_address=True)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(outcome.rows) == 3000
    assert peak_bytes < 30e6
