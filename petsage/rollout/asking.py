"""One round: every target is looked up and asked, until its record needs no more answers."""

import itertools
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty

from petsage.client import Answer, NoAnswer, Target
from petsage.clock import Clock
from petsage.rollout.plan import RolloutPlan
from petsage.rollout.pool import Pool
from petsage.rollout.record import BATCH, TargetRecord
from petsage.rollout.verdict import NONE_YET, Finding, judge, judge_failure

Get = Callable[[Target, tuple[str, ...], float], Answer]
"""Asks one of a target's addresses, within so many seconds, as `petsage.client.Client.get` does."""
Resolve = Callable[[Target, float], tuple[str, ...]]
"""Looks a target's addresses up within so many seconds. Raises `NoAnswer`."""

PAUSES = (0.25, 0.5, 1, 2, 4, 8, 16)
"""The pauses, in seconds, before a target that has answered 429 is asked again. A limit of requests
is no breach: the prover slows down instead. A 429 after the last pause is a breach; without --wait
after the fifth one, in 8 s."""

LIMITED = 429
"""Too Many Requests (RFC 6585, 4)."""

_IDLE_SECONDS = 0.2

_Result = Finding | tuple[str, ...]
"""What a job returns: a finding, or the addresses of a name."""


class Progress:
    """Is called in the thread that runs the rollout. This class ignores every call."""

    def found(self, finding: Finding) -> None:
        """An address is being asked: the finding is `pending`. Or it has answered."""

    def idle(self) -> None:
        """No result has come for a while."""

    def round_over(self, number: int, findings: Iterable[Finding]) -> None:
        """A round is over, and these are its rows."""


@dataclass
class Asking:
    """Asks all targets at once, and adds each finding to the record of its target."""

    plan: RolloutPlan
    get: Get
    resolve: Resolve
    progress: Progress
    clock: Clock
    requests: int = 0
    limited: set[Target] = field(default_factory=set)
    """The targets that have answered 429: from then on each gets one request at a time."""
    _jobs: dict[int, tuple[TargetRecord, Finding, float]] = field(default_factory=dict)
    """The jobs that are under way, by their numbers, each with its beginning and with the finding
    that stands for it if it does not end in time."""
    _under_way: Counter[TargetRecord] = field(default_factory=Counter)
    """How many of them there are for each target."""

    def __post_init__(self) -> None:
        self.records = [TargetRecord(self.plan, target) for target in self.plan.targets]
        self._began = self.clock.now()
        self._numbers = itertools.count()
        self._pool = Pool[tuple[int, _Result]]()
        self.close = self._pool.close
        # So the memory for jobs under way does not grow with the number of targets.
        self._batch = max(1, min(BATCH, 1024 // len(self.records)))

    def elapsed(self) -> float:
        """The seconds since the rollout began."""
        return self.clock.now() - self._began

    def left(self) -> float:
        """The seconds until the rollout must be over; infinite if the plan does not wait."""
        return (self.plan.wait_seconds or math.inf) - self.elapsed()

    def run_round(self) -> None:
        """Returns when all have answered, or raises what a job or a signal handler raises: then the
        findings of those that have not answered are `pending`."""
        try:
            for record in self.records:
                record.begin()
                self._submit(record, "", partial(self.resolve, record.target))
            while self._jobs:
                try:
                    self._receive(*self._pool.result(_IDLE_SECONDS))
                except Empty:
                    self.progress.idle()
        finally:
            now = self.elapsed()
            for record, none_yet, asked_at in self._jobs.values():
                record.add(replace(none_yet, seconds=now - asked_at), now)
            for record in self.records:
                record.end(now)

    def _submit(self, record: TargetRecord, address: str, work: Callable[[float], _Result]) -> None:
        number, now = next(self._numbers), self.elapsed()
        none_yet = Finding(record.target.url, address, NONE_YET, pending=True)
        self._jobs[number] = record, none_yet, now
        self._under_way[record] += 1
        self.progress.found(none_yet)
        self._pool.submit(lambda: (number, self._within_limit(record.target, address, now, work)))

    def _receive(self, number: int, result: _Result) -> None:
        record, _, _ = self._jobs.pop(number)
        self._under_way[record] -= 1
        if isinstance(result, Finding):
            record.add(result, self.elapsed())
            if not result.pending:
                self.progress.found(result)
        else:
            record.resolved(result)
        if not self._under_way[record]:
            self._ask_more(record)

    def _ask_more(self, record: TargetRecord) -> None:
        target = record.target
        for address in record.to_ask(1 if target in self.limited else self._batch):
            self.requests += 1
            ask = partial(self._ask, target, record.candidates(address), address)
            self._submit(record, address, ask)

    # What follows runs in the pool's threads.

    def _ask(
        self, target: Target, addresses: tuple[str, ...], address: str, seconds: float
    ) -> Finding:
        """What the first of `addresses` that accepts a connection answers."""
        return judge(self.plan, target, address, self.get(target, addresses, seconds))

    def _within_limit(
        self, target: Target, address: str, asked_at: float, work: Callable[[float], _Result]
    ) -> _Result:
        """What `work` returns, which is called again after a pause while the answer is 429."""
        pauses = PAUSES if self.plan.wait_seconds else PAUSES[:5]
        for pause in (*pauses, math.inf):
            result = self._in_time(target, address, asked_at, work)
            if not (isinstance(result, Finding) and result.breach and result.status == LIMITED):
                break
            if pause >= self.left():  # that the prover is too fast is no breach of the service
                waited = self.elapsed() - asked_at
                return replace(result, pending=bool(self.plan.wait_seconds), seconds=waited)
            self.limited.add(target)
            self.clock.wait(threading.Event(), pause)
        return result

    def _in_time(
        self, target: Target, address: str, asked_at: float, work: Callable[[float], _Result]
    ) -> _Result:
        """What `work` returns, or the finding that says why it has failed."""
        plan = self.plan
        seconds = min(plan.timeout_seconds, self.left())
        error = NoAnswer("before its turn")
        if seconds > 0:
            try:
                return work(seconds)
            except NoAnswer as raised:
                error = raised
        late = isinstance(error.__cause__, TimeoutError | None)
        if not late or seconds == plan.timeout_seconds:
            return judge_failure(target, address, error, seconds)
        finding = judge_failure(target, address, error, plan.wait_seconds)
        return replace(finding, seconds=self.elapsed() - asked_at, pending=True)
