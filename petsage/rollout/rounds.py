"""One round: every target is looked up and asked, once or until its instances have answered."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from queue import Empty

from petsage.rollout.asking import Asking
from petsage.rollout.pool import Pool
from petsage.rollout.record import BATCH, Record
from petsage.rollout.verdict import NONE_YET, Finding

_IDLE_SECONDS = 0.2


class Progress:
    """Is called in the thread that runs the rollout. This one ignores everything."""

    def found(self, finding: Finding) -> None:
        """An address is asked, or has answered: until then its finding is `cut`."""

    def idle(self) -> None:
        """Nothing has come for a while."""

    def round_over(self, number: int, findings: Iterable[Finding]) -> None:
        """A round is over: this is all that is known now."""


Arrival = tuple[int, "Finding | tuple[str, ...]"]
"""What a job returns: its number, and what it found."""


class Round:
    """Asks all targets at once, and enters in their records what it finds."""

    def __init__(
        self, asking: Asking, records: list[Record], pool: Pool[Arrival], progress: Progress
    ) -> None:
        self._asking = asking
        self._records = records
        self._pool = pool
        self._progress = progress
        self._waiting: dict[int, tuple[Record, str, float]] = {}
        self._missing = Counter[Record]()
        self._turns: dict[Record, Iterator[tuple[str, ...]]] = {}
        self._numbers = itertools.count()
        # The memory for the jobs that wait does not grow with the number of targets.
        self._batch = max(1, min(BATCH, 1024 // len(records)))
        self.requests = 0

    def run(self) -> None:
        """Returns when all is answered, or raises what a job or a signal handler raises."""
        for record in self._records:
            record.begin()
            known = self._asking.known(record.target)
            if known is None:
                self._submit(record, "", partial(self._asking.look_up, record.target))
            else:
                self._resolved(record, known)
        while self._waiting:
            try:
                self._receive(*self._pool.result(_IDLE_SECONDS))
            except Empty:
                self._progress.idle()

    def end(self) -> None:
        """Ends the round in the records; who has not answered yet is cut."""
        now = self._asking.elapsed()
        for record, address, asked_at in self._waiting.values():
            url, waited = record.target.url, now - asked_at
            record.hear(Finding(url, address, NONE_YET, seconds=waited, cut=True), now)
        for record in self._records:
            record.end(now)

    def _submit(
        self, record: Record, address: str, job: Callable[[float], "Finding | tuple[str, ...]"]
    ) -> None:
        number, now = next(self._numbers), self._asking.elapsed()
        self._waiting[number] = record, address, now
        self._missing[record] += 1
        self._progress.found(Finding(record.target.url, address, NONE_YET, cut=True))
        self._pool.submit(lambda: (number, job(now)))

    def _receive(self, number: int, found: "Finding | tuple[str, ...]") -> None:
        record, _, _ = self._waiting.pop(number)
        self._missing[record] -= 1
        if isinstance(found, Finding):
            record.hear(found, self._asking.elapsed())
            if not found.cut:
                self._progress.found(found)
            if not self._missing[record]:
                self._ask_more(record)
        else:
            self._resolved(record, found)

    def _resolved(self, record: Record, addresses: tuple[str, ...]) -> None:
        self._turns[record] = _turns(addresses)
        record.resolved(addresses)
        self._ask_more(record)

    def _ask_more(self, record: Record) -> None:
        for address in record.more(self._batch):
            self._ask(record, address)

    def _ask(self, record: Record, address: str) -> None:
        self.requests += 1
        addresses = (address,) if address else next(self._turns[record])
        self._submit(record, address, partial(self._asking.ask, record.target, addresses, address))


def _turns(addresses: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """All the addresses, with another one first each time; made one by one, since of 10,000 they
    would be 100 million."""
    for start in itertools.cycle(range(max(1, len(addresses)))):
        yield addresses[start:] + addresses[:start]
