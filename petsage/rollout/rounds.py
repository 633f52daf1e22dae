"""One round: every target is looked up and asked, once or until its instances have answered."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from queue import Empty

from petsage.rollout.asking import Asking, Inquiry
from petsage.rollout.pool import Pool
from petsage.rollout.verdict import NONE_YET, Finding, instances

_IDLE_SECONDS = 0.2


class Progress:
    """Is called in the thread that runs the rollout. This one ignores everything."""

    def found(self, finding: Finding) -> None:
        """An address is asked, or has answered: until then its finding is `cut`."""

    def idle(self) -> None:
        """Nothing has come for a while."""

    def round_over(self, number: int, findings: Iterable[Finding]) -> None:
        """A round is over: this is all that is known now."""


Arrival = tuple[Inquiry, int, "Finding | tuple[str, ...]"]
"""What a job returns: the inquiry, the place of the finding in it, and what is found there."""


class Round:
    """Asks all targets at once, and knows nothing of the rounds before it."""

    def __init__(self, asking: Asking, pool: Pool[Arrival], progress: Progress) -> None:
        self._asking = asking
        self._plan = asking.plan
        self._pool = pool
        self._progress = progress
        self._missing = 0
        self._inquiries = [Inquiry(target) for target in self._plan.targets]
        self.requests = 0

    def run(self) -> None:
        """Returns when all is answered, or raises what a job or a signal handler raises: the
        inquiries then hold what is known."""
        for inquiry in self._inquiries:
            self._submit(inquiry, "", partial(self._asking.look_up, inquiry.target))
        while self._missing:
            try:
                self._receive(*self._pool.result(_IDLE_SECONDS))
            except Empty:
                self._progress.idle()

    def close(self) -> list[Inquiry]:
        """What was found. A finding that has no answer yet says how long it was waited for."""
        now = self._asking.clock.now()
        for inquiry in self._inquiries:
            for place, finding in enumerate(inquiry.findings):
                if finding.breach is NONE_YET:
                    waited = now - inquiry.asked_at[place]
                    inquiry.findings[place] = replace(finding, seconds=waited)
        return self._inquiries

    def _submit(
        self, inquiry: Inquiry, address: str, job: Callable[[float], "Finding | tuple[str, ...]"]
    ) -> None:
        place, now = len(inquiry.findings), self._asking.clock.now()
        waiting = Finding(inquiry.target.url, address, NONE_YET, cut=True)
        inquiry.findings.append(waiting)
        inquiry.asked_at.append(now)
        inquiry.missing += 1
        self._missing += 1
        self._progress.found(waiting)
        self._pool.submit(lambda: (inquiry, place, job(now)))

    def _receive(self, inquiry: Inquiry, place: int, found: "Finding | tuple[str, ...]") -> None:
        self._missing -= 1
        inquiry.missing -= 1
        if isinstance(found, Finding):
            inquiry.findings[place] = found
            if not found.cut:
                self._progress.found(found)
            number = 0 if inquiry.addresses is None else self._more(inquiry)
        else:
            inquiry.addresses, inquiry.turns = found, itertools.cycle(self._turns(found))
            del inquiry.findings[place], inquiry.asked_at[place]
            number = max(1, len(found)) if self._plan.every_address else 1
        for _ in range(number):
            self._ask(inquiry)

    def _ask(self, inquiry: Inquiry) -> None:
        self.requests += 1
        addresses = next(inquiry.turns)
        address = addresses[0] if self._plan.every_address and addresses else ""
        self._submit(
            inquiry, address, partial(self._asking.ask, inquiry.target, addresses, address)
        )

    def _turns(self, found: tuple[str, ...]) -> list[tuple[str, ...]]:
        """The addresses that each request may use: one of them, or all, another one first."""
        if self._plan.every_address and found:
            return [(address,) for address in found]
        return [found[start:] + found[:start] for start in range(len(found))] or [()]

    def _more(self, inquiry: Inquiry) -> int:
        """How many requests to send now: one for each instance that is missing, within bounds."""
        if inquiry.missing or any(finding.breach for finding in inquiry.findings):
            return 0
        missing = self._plan.instances - len(instances(inquiry.findings))
        return max(0, min(missing, self._plan.requests - len(inquiry.findings)))
