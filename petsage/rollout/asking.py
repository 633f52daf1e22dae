"""One round: every target is looked up and asked, once or until its instances have answered."""

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
from petsage.rollout.record import BATCH, Record
from petsage.rollout.verdict import NONE_YET, Finding, judge, judge_failure, placed

Get = Callable[[Target, tuple[str, ...], float], Answer]
"""Asks one of a target's addresses within some seconds, as `petsage.client.Client.get` does."""
Resolve = Callable[[Target, float], tuple[str, ...]]
"""Looks a target's addresses up within some seconds. Raises `NoAnswer`."""

PAUSES = (0.25, 0.5, 1, 2, 4, 8, 16)
"""The seconds after which one that answers 429 is asked again: a limit of requests is no breach,
and who asks faster than it allows slows down. After the last one it is a breach like any other."""

_LIMITED = 429  # Too Many Requests (RFC 6585, 4)
_IDLE_SECONDS = 0.2

_Found = Finding | tuple[str, ...]


class Progress:
    """Is called in the thread that runs the rollout. This one ignores everything."""

    def found(self, finding: Finding) -> None:
        """An address is asked, or has answered: until then its finding is `cut`."""

    def idle(self) -> None:
        """Nothing has come for a while."""

    def round_over(self, number: int, findings: Iterable[Finding]) -> None:
        """A round is over: this is all that is known now."""


@dataclass
class Asking:
    """Asks all targets at once, and enters in their records what it finds."""

    plan: RolloutPlan
    get: Get
    resolve: Resolve
    progress: Progress
    clock: Clock
    requests: int = 0
    limited: set[Target] = field(default_factory=set)
    """Those that have answered 429: each of them is asked one by one from then on."""
    _waiting: dict[int, tuple[Record, Finding, float]] = field(default_factory=dict)
    _missing: Counter[Record] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.records = [Record(self.plan, target) for target in self.plan.targets]
        self._began = self.clock.now()
        self._numbers = itertools.count()
        self._pool = Pool[tuple[int, _Found]]()
        self.close = self._pool.close
        # The memory for the jobs that wait does not grow with the number of targets.
        self._batch = max(1, min(BATCH, 1024 // len(self.records)))

    def elapsed(self) -> float:
        """The seconds since the rollout began."""
        return self.clock.now() - self._began

    def left(self) -> float:
        """The seconds until it must be over; without end if it does not wait."""
        return (self.plan.wait_seconds or math.inf) - self.elapsed()

    def run_round(self) -> None:
        """Returns when all is answered, or raises what a job or a signal handler raises. Who has
        not answered by then is cut."""
        try:
            for record in self.records:
                record.begin()
                if record.target.addresses is None:
                    self._submit(record, "", partial(self.resolve, record.target))
                else:
                    self._resolved(record, record.target.addresses)
            while self._waiting:
                try:
                    self._receive(*self._pool.result(_IDLE_SECONDS))
                except Empty:
                    self.progress.idle()
        finally:
            now = self.elapsed()
            for record, none_yet, asked_at in self._waiting.values():
                record.hear(replace(none_yet, seconds=now - asked_at), now)
            for record in self.records:
                record.end(now)

    def _submit(self, record: Record, address: str, work: Callable[[float], _Found]) -> None:
        number, now = next(self._numbers), self.elapsed()
        none_yet = Finding(record.target.url, address, NONE_YET, cut=True)
        self._waiting[number] = record, none_yet, now
        self._missing[record] += 1
        self.progress.found(none_yet)
        self._pool.submit(lambda: (number, self._patiently(record.target, address, now, work)))

    def _receive(self, number: int, found: _Found) -> None:
        record, _, _ = self._waiting.pop(number)
        self._missing[record] -= 1
        if isinstance(found, Finding):
            record.hear(found, self.elapsed())
            if not found.cut:
                self.progress.found(found)
            if not self._missing[record]:
                self._ask_more(record)
        else:
            self._resolved(record, found)

    def _resolved(self, record: Record, addresses: tuple[str, ...]) -> None:
        record.resolved(addresses)
        self._ask_more(record)

    def _ask_more(self, record: Record) -> None:
        target = record.target
        for address in record.more(1 if target in self.limited else self._batch):
            self.requests += 1
            ask = partial(self._ask, target, record.candidates(address), address)
            self._submit(record, address, ask)

    # What follows runs in the pool's threads.

    def _ask(
        self, target: Target, addresses: tuple[str, ...], address: str, seconds: float
    ) -> Finding:
        """What the first of `addresses` that accepts a connection answers."""
        plan, answer = self.plan, self.get(target, addresses, seconds)
        finding = judge(answer, plan.release, plan.max_latency_seconds, plan.contract)
        return placed(finding, target, address, answer.address)

    def _patiently(
        self, target: Target, address: str, asked_at: float, work: Callable[[float], _Found]
    ) -> _Found:
        for pause in (*PAUSES, math.inf):
            found = self._in_time(target, address, asked_at, work)
            if not (isinstance(found, Finding) and found.breach and found.status == _LIMITED):
                break
            if pause >= self.left():  # its own pace is no breach of the service
                waited = self.elapsed() - asked_at
                return replace(found, cut=bool(self.plan.wait_seconds), seconds=waited)
            self.limited.add(target)
            self.clock.wait(threading.Event(), pause)
        return found

    def _in_time(
        self, target: Target, address: str, asked_at: float, work: Callable[[float], _Found]
    ) -> _Found:
        """What `work` returns, or the finding that says why it does not."""
        plan = self.plan
        seconds = min(plan.timeout_seconds, self.left())
        error = NoAnswer("before its turn")
        if seconds > 0:
            try:
                return work(seconds)
            except NoAnswer as raised:
                error = raised
        late = isinstance(error.__cause__, TimeoutError | None)
        cut = late and seconds < plan.timeout_seconds
        finding = judge_failure(error, plan.wait_seconds if cut else seconds)
        waited = self.elapsed() - asked_at if cut else None
        finding = replace(finding, seconds=waited, cut=cut)
        return placed(finding, target, address, error.address)
