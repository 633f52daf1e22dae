"""The condition `workers`: whether the application workers finish requests."""

import socket
import threading
import time
from collections.abc import Callable

from petsage import sockets
from petsage.address import Address
from petsage.clock import Clock
from petsage.health.report import Condition
from petsage.scoreboard import Scoreboard

READY_SECONDS = 5
"""How long an ask may stay without any finished request before readiness fails."""

_ASK_AGAIN_SECONDS = 1
_ASK_TIMEOUT_SECONDS = 4  # below READY_SECONDS, in which another connection may be answered
# A listener may have the unspecified address; a client needs the loopback one.
_THIS_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class Workers:
    """Sends a request to the main listener, in a thread of its own, whenever a probe asks.

    Busy is not stuck: that request may wait for as long as the workers finish any other. Idle is
    not stuck: while no request waits, it does not count that none is finished.
    """

    def __init__(
        self, ask: Callable[[], None], scoreboard: Scoreboard, clock: Clock, stuck_seconds: float
    ) -> None:
        """`ask` sends one request: it returns when there is an answer, else it raises `OSError`. It
        is called until it returns, or nobody listens. With 0 `stuck_seconds` live never fails."""
        self._ask = ask
        self._board = scoreboard
        self._clock = clock
        self._stuck_seconds = stuck_seconds
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._waiting_since: float | None = None

    def condition(self) -> Condition:
        """The condition of each probe. It never waits: the request is sent by another thread."""
        return Condition("workers", ("live", "ready", "startup"), self._reasons)

    def _reasons(self) -> dict[str, str]:
        self._ask_beside()
        silent = self._silent_seconds()
        return {
            "live": _stuck(silent, self._stuck_seconds),
            "ready": _stuck(silent, READY_SECONDS),
            "startup": "" if self._board.finished_at else "no worker has answered yet",
        }

    def _silent_seconds(self) -> float:
        """For how long an ask has waited while no request was finished; 0 if none waits."""
        waiting_since = self._waiting_since
        if waiting_since is None:
            return 0.0
        return self._clock.now() - max(waiting_since, self._board.finished_at)

    def _ask_beside(self) -> None:
        """Begins an ask, unless one is under way or the last one began within a second."""
        now = self._clock.now()
        with self._lock:
            if self._waiting_since is not None or now - self._asked_at < _ASK_AGAIN_SECONDS:
                return
            self._waiting_since = self._asked_at = now
        thread = threading.Thread(target=self._wait_for_answer, name="ask workers", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left: nothing was asked
            self._waiting_since = None

    def _wait_for_answer(self) -> None:
        """Asks again until there is an answer: the next connection may find a free thread."""
        while self._still_waits():
            pass
        self._waiting_since = None

    def _still_waits(self) -> bool:
        try:
            self._ask()
        except TimeoutError:
            return True
        # A worker died with the ask, or a unix socket's queue is full.
        except (ConnectionResetError, BrokenPipeError, BlockingIOError):
            self._clock.wait(threading.Event(), _ASK_AGAIN_SECONDS)
            return True
        except OSError:  # nobody listens
            return False
        return False


def _stuck(silent: float, limit: float) -> str:
    if not limit or silent < limit:
        return ""
    return f"no worker has finished a request for {silent:.0f} s"


def ask(address: Address) -> None:
    """Gets any HTTP answer from a main listener; the request asks to be the connection's last.

    Raises `TimeoutError` if no byte comes within 4 s, or another `OSError` if there is no answer.
    """
    deadline = time.monotonic() + _ASK_TIMEOUT_SECONDS
    with _connected(address, deadline) as connection:
        wire = sockets.Wire(connection, deadline)
        wire.sendall(
            b"GET /livez HTTP/1.1\r\nHost: localhost\r\nUser-Agent: PetSage\r\n"
            b"Connection: close\r\n\r\n"
        )
        if not wire.makefile().read(1):
            raise ConnectionResetError("no answer")


def _connected(address: Address, deadline: float) -> socket.socket:
    if address.path:
        return sockets.connect_unix(address.path, deadline)
    host = _THIS_HOST.get(address.host, address.host)
    return sockets.connect(sockets.addresses_of(host), address.port, deadline)[0]
