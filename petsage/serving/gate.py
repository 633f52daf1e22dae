"""The gate: a request gets a thread only when it is there.

The main loop reads what arrives, and keeps it until the head and a small body are whole; then a
thread begins. What a client does not take of an answer goes back to the main loop. So a client that
is slow, or says nothing, holds a connection and a few bytes, never a thread. Each connection that
waits has a deadline. When connections or bytes run out, the one that has waited longest is closed.

It relies on these facts of gunicorn 27. `ThreadWorker.run` calls `notify`, `set_accept_enabled`,
`wait_for_and_dispatch_events` and `murder_keepalived` in its loop, registers `accept` for each
listener, ends once `nr_conns` is 0 or the graceful time is over, and uses `method_queue` and
`tpool` by the methods of `Bell` and `Threads` only. `handle(conn)` serves one request of an
initialized connection through `conn.parser` and `conn.sock`, and returns whether another may
follow. `parser.unreader` takes bytes back (`unread`), returns those that it has not used
(`take_buffered`), and reads more by `sock.recv`. An answer goes through `sock.sendall`, `sock.send`
and `sock.sendfile`.
"""

import errno
import resource
import select
import socket
import time
from contextlib import suppress
from selectors import EVENT_WRITE
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER

from petsage.scoreboard import Slot
from petsage.serving.arrival import Arrival
from petsage.serving.connection import ClientSocket, Connection, allowed_seconds
from petsage.serving.waiting import Waiting
from petsage.threads import Threads

HEAD_SECONDS = 10
PROBE_HEAD_SECONDS = 2
"""How long a head may take; the second one is for the probe worker."""

LINGER_SECONDS = 1
"""How long a client may take to read its last answer and to close (RFC 9112, 9.6)."""

_READ_BYTES = 64 * 1024
_ACCEPT_AT_ONCE = 4
_FIRST_SECONDS = 0.004  # a connection is not closed for another before that
_SHORTAGE_SECONDS = 0.25  # the pause when no connection can be accepted


def most_connections() -> int:
    """How many connections a worker holds: 1,000, or what its soft limit of descriptors leaves."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(1000, max(8, (soft - 20) * 4 // 5))


class Gate(Waiting):
    """gunicorn's threaded worker, with a main loop that waits in place of its threads."""

    sockets: list[Any]
    probe = False
    """Whether this is the probe worker."""
    slot = Slot()
    """What the other processes read of this worker."""

    def init_process(self) -> None:
        self.worker_connections = most_connections()
        self.running: dict[Connection, float] = {}
        """The connections whose requests a thread has or will have, and since when."""
        self._logged_at = -60.0
        self._notify_at = 0.0
        super().init_process()

    def get_thread_pool(self) -> Threads[Connection]:
        return Threads(self.thread_count(), self._serve)

    def thread_count(self) -> int:
        """How many requests are served at once."""
        return int(self.cfg.threads)

    # Connections come.

    def is_full(self) -> bool:
        """Whether all threads are busy: then it is better if another worker accepts a connection.
        The probe worker is never full: no other worker could accept."""
        return bool(self.alive and not self.probe and len(self.running) >= self.tpool.max_threads)

    def set_accept_enabled(self, enabled: bool) -> None:
        can = not self.is_full() and (not self.alive or time.monotonic() >= self.accept_at)
        super().set_accept_enabled(enabled and can)

    def accept(self, listener: Any) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            if self.is_full() or not self._has_room():
                self.set_accept_enabled(False)
                return
            try:
                accepted, peer = listener.accept()
            except OSError as error:
                self._accept_failed(error)
                return
            self.nr_conns += 1
            client = ClientSocket(accepted, self._is_crowded)
            conn = Connection(self.cfg, client, peer, listener.getsockname())
            self._wait(conn, self._read, self._head_seconds())
            self._read(conn)
            if conn in self.running:
                return

    def _has_room(self) -> bool:
        """Makes room by closing what has waited longest, unless that has just come."""
        if self.alive and self.nr_conns >= self.worker_connections - 1 and self.waiting:
            self.accept_at = next(iter(self.waiting)).since + _FIRST_SECONDS
            if time.monotonic() < self.accept_at:
                return False
            self._close_oldest()
        return True

    def _accept_failed(self, error: OSError) -> None:
        if error.errno in (errno.EAGAIN, errno.ECONNABORTED, errno.EPERM):
            return
        now = time.monotonic()
        if now - self._logged_at > 60:
            self.log.error("No connection is accepted: %s", error.strerror)
        self._logged_at, self.accept_at = now, now + _SHORTAGE_SECONDS
        self.set_accept_enabled(False)
        if self.waiting:
            self._close_oldest()

    def _is_crowded(self) -> bool:
        """Whether somebody waits for a thread: here, or to be accepted."""
        if len(self.running) > self.tpool.max_threads:
            return True
        return self.is_full() and self.has_unaccepted()

    def has_unaccepted(self) -> bool:
        """Whether a connection waits in the queue of a listener."""
        poll = select.poll()
        for listener in self.sockets:
            poll.register(listener, select.POLLIN)
        return bool(poll.poll(0))

    # A request arrives.

    def enqueue_req(self, conn: Connection) -> None:
        """Begins to wait for a request, which may be there already."""
        self._wait(conn, self._read, self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER)
        self._look(conn)

    def _read(self, conn: Connection) -> None:
        try:
            data = conn.sock.recv_available(_READ_BYTES)
        except OSError:
            data = b""
        if data is None:
            self._look(conn)
        elif data:
            conn.arrival.data += data
            self._hold(conn, len(conn.arrival.data))
            self._look(conn)
        else:
            self._close(conn)

    def _look(self, conn: Connection) -> None:
        """Gives the request to a thread if one can begin; if not, sets when it must be there."""
        if conn not in self.waiting:  # the budget was used up, and it was closed
            return
        arrival, had_head = conn.arrival, conn.arrival.has_head
        if arrival.data and arrival.can_begin():
            self._submit(conn)
        elif arrival.has_head:
            if not had_head:
                conn.since = time.monotonic()
                self._ask_for_body(conn)
            conn.until = conn.since + allowed_seconds(len(arrival.data))
        elif arrival.data:
            conn.until = min(conn.until, time.monotonic() + self._head_seconds())

    def _ask_for_body(self, conn: Connection) -> None:
        if conn.arrival.expects_continue:
            with suppress(OSError):
                conn.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _head_seconds(self) -> float:
        return PROBE_HEAD_SECONDS if self.probe else HEAD_SECONDS

    def _submit(self, conn: Connection) -> None:
        self.waiting.pop(conn, None)
        conn.react = self._ignore
        conn.parser.unreader.unread(bytes(conn.arrival.data))
        conn.arrival = Arrival()
        conn.sock.begin()
        self.running[conn] = now = time.monotonic()
        if len(self.running) <= self.tpool.max_threads:
            self._show_running(now)
        self.tpool.submit(conn, len(self.running))

    def _show_running(self, now: float) -> None:
        """Writes into the slot what runs. It is called when a request has begun or ended."""
        slot, count = self.slot, len(self.running)
        slot.busy = min(count, self.tpool.max_threads)
        slot.oldest_at = next(iter(self.running.values()), 0.0)
        slot.full_since = now if count >= self.tpool.max_threads else 0.0

    def _ignore(self, conn: Connection) -> None:
        """While a thread serves a connection, what else the client sends waits in the kernel."""
        self._watch(conn, 0)

    # A thread serves it.

    def _serve(self, conn: Connection) -> None:
        keep = False
        try:
            keep = bool(self.handle(conn))
            conn.sock.send_head()
            conn.arrival = Arrival(conn.parser.unreader.take_buffered())
        except OSError:
            keep = False
        except BaseException:
            self.log.exception("Error handling request")
        self.bell.add(self.finish_request, conn, keep)
        if not keep or self._is_awaited(conn):
            self.bell.ring()

    def _is_awaited(self, conn: Connection) -> bool:
        """Whether the main loop must know at once that a thread is done with a request.

        If not, it learns it at its next turn: to ring the bell costs two system calls.
        """
        has_more = conn.sock.has_unsent or conn.arrival.data or not conn.events
        return bool(has_more or self.is_full() or not self.alive)

    def finish_request(self, conn: Connection, keep: bool) -> None:
        """Runs in the main loop when a thread is done with a request: sends the rest, goes on."""
        self.running.pop(conn)
        self._show_running(time.monotonic())
        conn.keep = keep
        if conn.sock.has_unsent:
            self._wait(conn, self._flush, allowed_seconds(0), EVENT_WRITE)
            self._hold(conn, conn.sock.unsent_bytes)
        else:
            self._proceed(conn)

    def _flush(self, conn: Connection) -> None:
        try:
            is_sent = conn.sock.flush()
        except OSError:
            self._close(conn)
            return
        self._hold(conn, conn.sock.unsent_bytes)
        conn.until = conn.since + allowed_seconds(conn.sock.moved_bytes)
        if is_sent and conn in self.waiting:
            self._proceed(conn)

    def _proceed(self, conn: Connection) -> None:
        self._hold(conn, 0)
        if conn.keep:
            self.enqueue_req(conn)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            self._wait(conn, self._linger, LINGER_SECONDS)

    def _linger(self, conn: Connection) -> None:
        try:
            if conn.sock.recv_available(_READ_BYTES) != b"":
                return
        except OSError:
            pass
        self._close(conn)

    # The loop's turns.

    def notify(self) -> None:
        """Says that the worker lives, once a second: after 30 s without, the arbiter kills it."""
        if (now := time.monotonic()) >= self._notify_at:
            self._notify_at = now + 1
            super().notify()
            self.slot.has_begun, self.slot.beat_at = True, now
            self.tpool.start(len(self.running))  # the system may have a thread again
            if self._is_crowded():
                self.slot.waited_at = now

    def should_close(self, conn: Connection, now: float) -> bool:
        """While all threads are busy, it closes idle connections: another worker is better."""
        return 0 < self.slot.full_since < now - 1 and self._is_idle(conn)

    def _is_idle(self, conn: Connection) -> bool:
        """Whether nothing of a request has arrived."""
        return conn.react == self._read and not conn.arrival.data

    def _cap_keepalive(self, deadline: float) -> None:
        """A worker that stops waits for idle connections until this deadline at most."""
        for conn in self.waiting:
            if self._is_idle(conn):
                conn.until = min(conn.until, deadline)
