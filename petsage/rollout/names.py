"""Where the names of targets resolve to."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from ipaddress import ip_address
from queue import SimpleQueue

from petsage import sockets
from petsage.client import NoAnswer, Target

THREADS = 16
"""How many names are looked up at once."""

Addresses = Mapping[tuple[str, int], tuple[str, ...]]
"""The addresses of a host and a port."""


class Names:
    """Looks names up in a few threads: getaddrinfo() knows no time-out, so a name that hangs takes
    one of them for as long as it hangs, however often it is asked for."""

    def __init__(
        self,
        overrides: Addresses,
        proxy: Target | None = None,
        look_up: Callable[[str], tuple[str, ...]] = sockets.addresses_of,
    ) -> None:
        """`overrides` stand in for a look-up. Where there is a proxy, its own addresses are those
        of each target. `look_up` raises `OSError`."""
        self._proxy = proxy
        self._overrides = overrides
        self._look_up = look_up
        self._lock = threading.Lock()
        self._running: dict[str, Future[tuple[str, ...]]] = {}
        self._jobs: SimpleQueue[str] = SimpleQueue()
        self._threads = 0

    def known(self, target: Target) -> tuple[str, ...] | None:
        """The addresses of a target that takes no look-up."""
        target = self._proxy or target
        if target.unix_path:
            return ()
        return self._overrides.get((target.host, target.port)) or _literal(target.host)

    def resolve(self, target: Target, seconds: float) -> tuple[str, ...]:
        """Looks a target's name up within some seconds. Raises `NoAnswer`."""
        try:
            return self._found((self._proxy or target).host).result(seconds)
        except OSError as error:  # a TimeoutError too
            raise NoAnswer("looking up the name") from error

    def _found(self, host: str) -> "Future[tuple[str, ...]]":
        with self._lock:
            if host not in self._running:
                self._running[host] = Future()
                self._jobs.put(host)
                if self._threads < THREADS:
                    self._threads += 1
                    threading.Thread(target=self._work, daemon=True).start()
            return self._running[host]

    def _work(self) -> None:
        while True:
            host = self._jobs.get()
            try:
                addresses = self._look_up(host)
            except BaseException as error:
                self._done(host).set_exception(error)
            else:
                self._done(host).set_result(addresses)

    def _done(self, host: str) -> "Future[tuple[str, ...]]":
        with self._lock:
            return self._running.pop(host)


def _literal(host: str) -> tuple[str, ...] | None:
    """The address that a host is, if it is no name."""
    with suppress(ValueError):
        return (str(ip_address(host)),)
    return None
