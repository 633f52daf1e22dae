"""Who probed when, and what was answered: a kubelet throws the bodies of failures away."""

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from petsage.printable import one_line

ENTRIES = 50
"""How many entries are kept. One entry stands for all equal answers in a row."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one probe answered to one agent, once or several times in a row."""

    probe: str
    asked: str
    """Which of the probe's checks were asked for; empty if all."""
    agent: str
    """Its User-Agent header, in one line of 200 characters at most."""
    code: int
    failed: tuple[str, ...]
    """The names of the checks that failed."""
    reason: str
    """Why the last of these answers failed; empty if it did not."""
    first_at: float
    """In the clock's seconds, as is `last_at`."""
    last_at: float
    times: int = 1


class Ledger:
    """The last answers to probes, in memory that does not grow however many agents there are."""

    def __init__(self, since: float) -> None:
        """`since` is the time now, in the clock's seconds: the ledger knows nothing older."""
        self.since = since
        self._lock = threading.Lock()  # while entries are merged, another thread may run
        self._entries: deque[Entry] = deque(maxlen=ENTRIES)
        self._answers: Counter[tuple[str, int]] = Counter()

    def enter(
        self,
        probe: str,
        agent: str,
        code: int,
        reason: str,
        now: float,
        asked: str = "",
        failed: tuple[str, ...] = (),
    ) -> None:
        """Remembers one answer."""
        new = Entry(probe, asked, one_line(agent), code, failed, one_line(reason), now, now)
        with self._lock:
            self._answers[probe, code] += 1
            self._entries.append(self._merged(new))

    def _merged(self, new: Entry) -> Entry:
        for entry in reversed(self._entries):
            if (entry.probe, entry.asked, entry.agent) == (new.probe, new.asked, new.agent):
                if (entry.code, entry.failed) != (new.code, new.failed):
                    break
                self._entries.remove(entry)
                return replace(new, first_at=entry.first_at, times=entry.times + 1)
        return new

    def entries(self) -> tuple[Entry, ...]:
        """The last answers, the newest first."""
        with self._lock:
            return tuple(reversed(self._entries))

    def answers(self) -> Mapping[tuple[str, int], int]:
        """How often each probe answered with each HTTP status since the process began."""
        with self._lock:
            return dict(self._answers)
