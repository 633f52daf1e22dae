"""Where the names of targets resolve to."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from petsage import sockets
from petsage.client import NoAnswer, Target
from petsage.threads import Threads

THREADS = 16
"""How many names are looked up at once."""


@dataclass
class Names:
    """Looks names up in a few threads: getaddrinfo() knows no time-out, so a name that hangs takes
    one of them for as long as it hangs, however often it is asked for."""

    proxy: Target | None = None
    """Its name is looked up in place of each target's."""
    look_up: Callable[[str], tuple[str, ...]] = sockets.addresses_of
    """Raises `OSError`."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: dict[str, Future[tuple[str, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._threads = Threads(THREADS, self._look_up)

    def resolve(self, target: Target, seconds: float) -> tuple[str, ...]:
        """The addresses of a target, looked up within some seconds. Raises `NoAnswer`."""
        peer = self.proxy or target
        if peer.addresses is not None:
            return peer.addresses
        try:
            return self._found(peer.host).result(seconds)
        except OSError as error:  # a TimeoutError too
            raise NoAnswer("looking up the name") from error

    def _found(self, host: str) -> "Future[tuple[str, ...]]":
        with self._lock:
            future = self._running.get(host)
            if not future:
                future = self._running[host] = Future()
                self._threads.submit(host, len(self._running))
            return future

    def _look_up(self, host: str) -> None:
        try:
            addresses = self.look_up(host)
        except BaseException as error:
            self._running.pop(host).set_exception(error)
        else:
            self._running.pop(host).set_result(addresses)
