"""What waits in a worker's main loop: each connection has a deadline, and all have one budget."""

import time
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from petsage.serving.bell import Bell
from petsage.serving.connection import ClientSocket, Connection

BUDGET_BYTES = 16 * 1024 * 1024
"""So many bytes of requests and answers wait in a worker at most."""

_TURN_SECONDS = 0.25


class Waiting(ThreadWorker):
    """gunicorn's threaded worker, with a table of all connections that wait for their client."""

    def init_process(self) -> None:
        self.method_queue = self.bell = Bell()
        self.waiting: dict[Connection, None] = {}
        """In the order in which they began to wait."""
        self.held_bytes = 0
        self.accept_at = self._turn_at = 0.0
        super().init_process()

    def _wait(self, conn: Connection, react: Any, seconds: float, events: int = EVENT_READ) -> None:
        """From now on this connection waits, as the last of all."""
        conn.react = react
        conn.since = time.monotonic()
        conn.until = conn.since + seconds
        self.waiting.pop(conn, None)
        self.waiting[conn] = None
        self._watch(conn, events)

    def _watch(self, conn: Connection, events: int) -> None:
        if events == conn.events:
            return
        if not events:
            self.poller.unregister(conn.sock)
        elif conn.events:
            self.poller.modify(conn.sock, events, partial(self._ready, conn))
        else:
            self.poller.register(conn.sock, events, partial(self._ready, conn))
        conn.events = events

    def _ready(self, conn: Connection, _client: ClientSocket) -> None:
        if conn.events:  # it may have been closed in this very turn
            conn.react(conn)

    def _hold(self, conn: Connection, held_bytes: int) -> None:
        """From now on this connection holds so many bytes. If all of them together exceed the
        budget, those that hold any are closed, beginning with the one that has waited longest."""
        self.held_bytes += held_bytes - conn.held_bytes
        conn.held_bytes = held_bytes
        if self.held_bytes > BUDGET_BYTES:
            for holder in [conn for conn in self.waiting if conn.held_bytes]:
                self._close(holder)
                if self.held_bytes <= BUDGET_BYTES:
                    return

    def _close(self, conn: Connection) -> None:
        self._watch(conn, 0)
        self.waiting.pop(conn, None)
        self.held_bytes -= conn.held_bytes
        self.nr_conns -= 1
        conn.sock.dispose()

    def _close_oldest(self) -> None:
        """Closes the connection that has waited longest, unless it can go on now."""
        oldest = next(iter(self.waiting))
        oldest.react(oldest)
        if next(iter(self.waiting), None) is oldest:
            self._close(oldest)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        self.bell.is_asleep = True  # before has_calls(): a call that comes later rings
        until_accept = self.accept_at - time.monotonic()
        timeout = min(timeout, until_accept if until_accept > 0 else _TURN_SECONDS)
        events = self.poller.select(0 if self.bell.has_calls() else timeout)
        self.bell.is_asleep = False
        self.bell.run()  # first: a connection may have its next request without a ring
        for key, _ in events:
            key.data(key.fileobj)

    def murder_keepalived(self, force: bool = False) -> None:
        """Closes the connections that have waited too long; with `force` all that wait."""
        now = time.monotonic()
        if now < self._turn_at and not force:
            return
        self._turn_at = now + _TURN_SECONDS
        for conn in list(self.waiting):
            if force or conn.until <= now or self.should_close(conn, now):
                self._close(conn)

    def should_close(self, conn: Connection, now: float) -> bool:
        """Whether to close a connection before its time is over."""
        return False
