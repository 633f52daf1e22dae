"""The condition `workers`: whether the application workers serve requests.

It reads what each worker writes into its slot of the scoreboard; no request is ever sent. Busy is
not stuck: while requests end, no worker is held. Idle is not stuck either.
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
"""How long all workers may be held before readiness fails."""

BEAT_SECONDS = 3
"""A worker whose main loop has not turned for so long is stopped; it turns once a second."""

_CONNECT_SECONDS = 0.05
# A listener may have the unspecified address; a client needs the loopback one.
_THIS_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@dataclass
class Workers:
    """Reads the slots whenever a probe asks, and tries once a second whether anybody listens."""

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
        """The condition of each probe."""
        return Condition("workers", ("live", "ready", "startup"), self._reasons)

    def _reasons(self) -> dict[str, str]:
        now, slots = self.clock.now(), self.scoreboard.slots()
        held = [held_seconds(slot, now) for slot in slots]
        silent = self._silent_seconds(now, slots)
        blocked = max(min(held, default=0.0), silent)
        warning = self._warning(now, slots)
        reason = "no worker is free" if blocked > silent else "nobody accepts connections"
        reason = f"{reason} for {blocked:.0f} s"
        return {
            "live": reason if self._is_dead(now, slots, blocked, silent >= blocked) else warning,
            "ready": reason if blocked >= READY_SECONDS else warning,
            "startup": "" if any(slot.has_begun for slot in slots) else "no worker has begun yet",
        }

    def _silent_seconds(self, now: float, slots: Sequence[Slot]) -> float:
        """For how long there has been nobody who listens, as far as anybody has asked."""
        if now - self._tried_at >= 1:
            self._tried_at = now
            if (slots and self.listens()) or self._heard_at < 0:
                self._heard_at = now
        # Another thread may be in the midst of the first try.
        return self._tried_at - self._heard_at if self._heard_at >= 0 else 0.0

    def _is_dead(self, now: float, slots: Sequence[Slot], blocked: float, is_silent: bool) -> bool:
        """Whether a restart is all that is left: replacing the workers has not helped either."""
        if is_silent or not any(is_beating(slot, now) for slot in slots):
            return blocked >= self.stuck_seconds
        board = self.scoreboard
        is_in_vain = board.replaced_at > board.finished_at
        is_long_ago = now - board.replaced_at >= self.stuck_seconds
        is_blocked = blocked >= min(READY_SECONDS, self.stuck_seconds / 2)
        return is_blocked and is_in_vain and is_long_ago

    def _warning(self, now: float, slots: Sequence[Slot]) -> str:
        """That a part of the workers is held."""
        held = [slot for slot in slots if held_seconds(slot, now) >= self.stuck_seconds]
        if not held:
            return ""
        since = min(slot.oldest_at or slot.beat_at for slot in held)
        return Caution(
            f"{len(held)} of {len(slots)} workers: a request runs for {now - since:.0f} s"
        )


def is_beating(slot: Slot, now: float) -> bool:
    """Whether a worker's main loop turns."""
    return now - slot.beat_at < BEAT_SECONDS


def held_seconds(slot: Slot, now: float) -> float:
    """For how long a worker has had no free thread while none of its requests ended, or has not
    turned at all."""
    if not is_beating(slot, now):
        return now - slot.beat_at
    full_since = slot.full_since
    return now - full_since if full_since else 0.0


def listens(address: Address) -> bool:
    """Whether anybody listens there: one connect, which no application sees. A full queue is
    somebody's."""
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
