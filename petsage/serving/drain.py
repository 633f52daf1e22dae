"""The drain: what the arbiter does between the first SIGTERM and the real stop."""

import signal
from collections.abc import Callable
from typing import Any, NoReturn

from petsage.scoreboard import scoreboard


class Drain:
    """Between the first SIGTERM and the real stop an instance serves, but is not ready.

    For each signal the arbiter looks up `handle_NAME` on itself, so an attribute of that name on
    the arbiter replaces its method.
    """

    def __init__(self, server: Any, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self._stop: Callable[[], NoReturn] = server.handle_term
        self._quit: Callable[[], None] = server.handle_int
        self._fewer_workers: Callable[[], None] = server.handle_ttou

    def install(self) -> None:
        """Replaces the arbiter's handlers."""
        server = self._server
        server.handle_term = self.begin
        server.handle_alrm = self._stop
        server.handle_int = server.handle_quit = self.quit
        server.handle_ttou = self.fewer_workers

    def begin(self) -> None:
        """SIGTERM. The second one ends the drain.

        A USR2 child and its parent share the listeners: when one of them stops, the other serves
        on, so nothing is drained.
        """
        server = self._server
        if scoreboard.draining or not self._seconds or server.reexec_pid or server.master_pid:
            self._stop()
        scoreboard.draining = True
        server.log.info("Draining for %g s", self._seconds)
        signal.signal(signal.SIGALRM, server.signal)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def quit(self) -> None:
        """SIGINT and SIGQUIT: a worker that does not react is killed after 1 s, or after the 2 s
        that gunicorn grants if a stop has begun."""
        self._server.cfg.set("graceful_timeout", 1)
        self._quit()

    def fewer_workers(self) -> None:
        """SIGTTOU: one application worker and the probe worker stay."""
        if self._server.num_workers > 2:
            self._fewer_workers()
