"""The conditions: what an instance knows of itself without asking anybody.

`drain` is whether it is about to stop; `workers` is whether its application workers serve requests,
from what each worker writes into its slot of the scoreboard: no request is ever sent. Busy is not
stuck: while requests end, no worker is blocked. Idle is not stuck either.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from petsage.address import Address
from petsage.clock import Clock
from petsage.health.report import Caution, Condition
from petsage.scoreboard import Scoreboard, Slot
from petsage.sockets import connect, connect_unix

READY_SECONDS = 5
"""How long all workers may be blocked before readiness fails."""

BEAT_SECONDS = 3
"""A worker whose main loop has not turned for so long is blocked; it turns once a second."""

_CONNECT_SECONDS = 0.05
# A listener may have the unspecified address; a client needs the loopback one.
_THIS_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def drain_condition(scoreboard: Scoreboard) -> Condition:
    """The condition that fails readiness when the instance is about to stop."""

    def reasons() -> dict[str, str]:
        return {"ready": "the instance is stopping" if scoreboard.draining else ""}

    return Condition("drain", ("ready",), reasons)


@dataclass
class Workers:
    """Reads the slots whenever a probe asks, and tests once a second whether anybody listens."""

    listens: Callable[[], bool]
    """Whether anybody listens on the main listener."""
    scoreboard: Scoreboard
    clock: Clock
    stuck_seconds: float
    """With 0 the live probe never fails."""
    _tried_at: float = float("-inf")
    _heard_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.stuck_seconds = self.stuck_seconds or float("inf")

    def condition(self) -> Condition:
        """The condition, for each of its probes."""
        return Condition("workers", ("live", "ready", "startup"), self._reasons)

    def _reasons(self) -> dict[str, str]:
        now, slots = self.clock.now(), self.scoreboard.slots()
        blocked = [blocked_seconds(slot, now) for slot in slots]
        silent = self._silent_seconds(now, slots)
        outage = max(min(blocked, default=0.0), silent)
        warning = self._warning(now, slots)
        reason = "no worker has been free" if outage > silent else "nobody has accepted connections"
        reason = f"{reason} for {outage:.0f} s"
        return {
            "live": reason if self._is_dead(now, slots, outage, silent >= outage) else warning,
            "ready": reason if outage >= READY_SECONDS else warning,
            "startup": "" if any(slot.has_begun for slot in slots) else "no worker has begun yet",
        }

    def _silent_seconds(self, now: float, slots: Sequence[Slot]) -> float:
        """For how long nobody has listened, as far as that was tested."""
        if now - self._tried_at >= 1:
            self._tried_at = now
            if (slots and self.listens()) or self._heard_at < 0:
                self._heard_at = now
        # Below 0: another thread is in the middle of the very first test.
        return self._tried_at - self._heard_at if self._heard_at >= 0 else 0.0

    def _is_dead(self, now: float, slots: Sequence[Slot], outage: float, is_silent: bool) -> bool:
        """Whether only a restart can help: to replace the workers has not helped."""
        if is_silent or not any(is_beating(slot, now) for slot in slots):
            return outage >= self.stuck_seconds
        replaced_at = self.scoreboard.replaced_at
        has_not_helped = replaced_at > self.scoreboard.finished_at
        is_long_ago = now - replaced_at >= self.stuck_seconds
        is_blocked = outage >= min(READY_SECONDS, self.stuck_seconds / 2)
        return is_blocked and has_not_helped and is_long_ago

    def _warning(self, now: float, slots: Sequence[Slot]) -> str:
        """Says that a part of the workers is blocked; empty if none is."""
        blocked = [slot for slot in slots if blocked_seconds(slot, now) >= self.stuck_seconds]
        if not blocked:
            return ""
        since = min(slot.oldest_at or slot.beat_at for slot in blocked)
        return Caution(
            f"{len(blocked)} of {len(slots)} workers: a request has run for {now - since:.0f} s"
        )


def is_beating(slot: Slot, now: float) -> bool:
    """Whether a worker's main loop turns."""
    return now - slot.beat_at < BEAT_SECONDS


def blocked_seconds(slot: Slot, now: float) -> float:
    """For how long a worker has had no free thread while none of its requests ended, or for how
    long its main loop has not turned."""
    if not is_beating(slot, now):
        return now - slot.beat_at
    full_since = slot.full_since
    return now - full_since if full_since else 0.0


def listens(address: Address) -> bool:
    """Whether anybody listens there: it connects once, which no application sees. If the queue is
    full, somebody listens."""
    deadline = time.monotonic() + _CONNECT_SECONDS
    host = _THIS_HOST.get(address.host, address.host)
    try:
        if address.path:
            connect_unix(address.path, deadline).close()
        else:
            connect((host,), address.port, deadline)[0].close()
    except OSError as error:
        return isinstance(error, TimeoutError | BlockingIOError)
    return True
