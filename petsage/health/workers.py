"""Evidence that the application workers finish requests; only the management side can have it."""

import socket
import threading
from collections.abc import Callable

from petsage.address import Address
from petsage.board import Board
from petsage.health.monitor import Clock
from petsage.health.report import Evidence

READY_SECONDS = 5
"""How long an ask may stay without any finished request before readiness fails."""

_ASK_AGAIN_SECONDS = 1
_ASK_TIMEOUT_SECONDS = 2  # well below READY_SECONDS: the next ask may find a thread that is free
# One listens at the unspecified address, but asks at the loopback one.
_THIS_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class Workers:
    """Asks the main listener, in a thread of its own, whenever somebody asks about the workers.

    Busy is not stuck: an ask may wait for as long as any request is finished meanwhile. Idle is not
    stuck: without an ask that waits, no silence counts.
    """

    def __init__(
        self, ask: Callable[[], None], board: Board, clock: Clock, stuck_seconds: float
    ) -> None:
        """`ask` returns when the main listener has answered it, and raises `OSError` if that cannot
        be; of those, `TimeoutError` means that it still waits. `stuck_seconds` 0 is never stuck."""
        self._ask = ask
        self._board = board
        self._clock = clock
        self._stuck_seconds = stuck_seconds
        self._lock = threading.Lock()
        self._asking = False
        self._asked_at = float("-inf")
        self._waiting_since: float | None = None

    def evidence(self) -> Evidence:
        """What the probes are told: each verdict is there at once, and starts an ask beside."""
        return Evidence(
            "workers",
            {
                "live": lambda: self._verdict(self._stuck_seconds),
                "ready": lambda: self._verdict(READY_SECONDS),
                "startup": self._first_answer,
            },
        )

    def _verdict(self, limit: float) -> str:
        self._ask_beside()
        waiting_since = self._waiting_since
        if waiting_since is None or not limit:
            return ""
        silent = self._clock.now() - max(waiting_since, self._board.finished_at)
        return f"no worker has finished a request for {silent:.0f} s" if silent >= limit else ""

    def _first_answer(self) -> str:
        self._ask_beside()
        return "" if self._board.finished_at else "no worker has answered yet"

    def _ask_beside(self) -> None:
        """Begins an ask, unless one is under way or the last one began within a second."""
        now = self._clock.now()
        with self._lock:
            if self._asking or now - self._asked_at < _ASK_AGAIN_SECONDS:
                return
            self._asking, self._asked_at = True, now
            # What an ask that timed out has waited is void once a worker finished anything since.
            if self._waiting_since is None or self._board.finished_at >= self._waiting_since:
                self._waiting_since = now
        thread = threading.Thread(target=self._wait_for_answer, name="ask workers", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left: nothing was asked
            with self._lock:
                self._asking, self._waiting_since = False, None

    def _wait_for_answer(self) -> None:
        try:
            self._ask()
        except (TimeoutError, BlockingIOError):  # the latter: a unix socket's queue is full
            waiting_since = self._waiting_since
        except OSError:  # refused or reset: it does not wait any longer
            waiting_since = None
        else:
            waiting_since = None
        with self._lock:
            self._asking, self._waiting_since = False, waiting_since


def ask(address: Address) -> None:
    """Gets any HTTP answer from a main listener; the request asks to be the connection's last.

    Raises `TimeoutError` after 2 s without a byte, or another `OSError` if there is no answer.
    """
    with _connected(address) as connection:
        connection.sendall(
            b"GET /livez HTTP/1.1\r\nHost: localhost\r\nUser-Agent: PetSage\r\n"
            b"Connection: close\r\n\r\n"
        )
        if not connection.recv(1):
            raise ConnectionResetError("no answer")


def _connected(address: Address) -> socket.socket:
    if not address.path:
        host = _THIS_HOST.get(address.host, address.host)
        return socket.create_connection((host, address.port), _ASK_TIMEOUT_SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_ASK_TIMEOUT_SECONDS)
    connection.connect(address.path)
    return connection
