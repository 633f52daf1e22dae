"""A client's connection: what its thread sees of it, and what waits in the main loop."""

import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gunicorn.workers.gthread import TConn

from petsage.serving.arrival import Arrival

UNSENT_BYTES = 256 * 1024
"""So much of an answer at most waits for its client without a thread."""

BODY_SECONDS = 30
SLOWEST_BYTES = 1024
"""A body or an answer may take `BODY_SECONDS`; longer only at so many bytes a second or more."""

_SEND_BYTES = 1024 * 1024


def allowed_seconds(moved_bytes: int) -> float:
    """How long a body or an answer may take of which so many bytes have been moved."""
    return max(BODY_SECONDS, moved_bytes / SLOWEST_BYTES)


@dataclass
class _FilePart:
    """A part of a file that waits to be sent. It owns the descriptor."""

    descriptor: int
    offset: int
    left: int


class ClientSocket(socket.socket):
    """A client's socket. It never blocks; a thread that has to wait here waits with a limit.

    The methods for threads raise `ConnectionResetError` when the client is too slow.
    """

    def __init__(self, accepted: socket.socket, is_crowded: Callable[[], bool]) -> None:
        kind = accepted.family, accepted.type, accepted.proto
        super().__init__(*kind, fileno=accepted.detach())
        super().setblocking(False)
        self._is_crowded = is_crowded
        self._timeout: float | None = None
        self._head = b""
        self._unsent: deque[bytearray | _FilePart] = deque()
        self.unsent_bytes = 0
        self.begin()

    def begin(self) -> None:
        """A request begins: how slow its client was before is forgotten."""
        self.moved_bytes = 0
        self._waited_seconds = 0.0
        self._mark = (0.0, 0)  # the seconds waited and the bytes moved, at the last check

    # For threads: gunicorn and the application call these.

    def setblocking(self, flag: bool) -> None:
        """Does nothing: the socket never blocks."""

    def settimeout(self, value: float | None) -> None:
        """Limits each of the next reads, in seconds."""
        self._timeout = value

    def gettimeout(self) -> float | None:
        """The limit of a read, in seconds."""
        return self._timeout

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Waits for bytes. Raises `TimeoutError` after what `settimeout` has set."""
        began = time.monotonic()
        while (data := self.recv_available(size)) is None:
            if self._timeout is not None and time.monotonic() - began >= self._timeout:
                raise TimeoutError
            self._wait(select.POLLIN)
        self.moved_bytes += len(data)
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Sends; if the client is slow, the last `UNSENT_BYTES` wait for it in the main loop.

        A head waits for the first piece of its body: both are one packet and one system call. PEP
        3333 allows that. A 1xx does not wait.
        """
        if self._head:
            head, self._head = self._head, b""
            if len(data) > UNSENT_BYTES:
                self._put(memoryview(head))
            else:
                data = head + data
        elif data[:7] == b"HTTP/1." and data[9:10] != b"1" and data.endswith(b"\r\n\r\n"):
            self._head = data
            return
        self._put(memoryview(data))

    def send(self, data: Any, flags: int = 0) -> int:
        """Does what `sendall` does."""
        self.sendall(data)
        return len(data)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Sends a part of a file; what the client does not take waits in the main loop."""
        self.send_head()
        left = os.fstat(file.fileno()).st_size - offset if count is None else count
        try:
            descriptor = os.dup(file.fileno())
        except OSError as error:
            raise ConnectionResetError(errno.ECONNRESET, "no descriptor is left") from error
        self._unsent.append(_FilePart(descriptor, offset, left))
        self.flush()
        return left

    def send_head(self) -> None:
        """Sends a head without a body."""
        if self._head:
            head, self._head = self._head, b""
            self._put(memoryview(head))

    def close(self) -> None:
        """Ends the connection. Its descriptor stays open until the main loop calls `dispose`."""
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)

    def _put(self, data: memoryview) -> None:
        while data:
            if self.flush() and (sent := self._send(data)):
                self.moved_bytes += sent
                data = data[sent:]
            elif self.unsent_bytes + len(data) <= UNSENT_BYTES:
                self._keep(data)
                return
            else:
                self._wait(select.POLLOUT)

    def _keep(self, data: memoryview) -> None:
        if self._unsent and isinstance(last := self._unsent[-1], bytearray):
            last += data
        else:
            self._unsent.append(bytearray(data))
        self.unsent_bytes += len(data)

    def _wait(self, event: int) -> None:
        """Waits for the client, for a second at most.

        Raises `ConnectionResetError` if the client has been too slow for its request, or for a
        second in which others waited for this thread.
        """
        began = time.monotonic()
        poll = select.poll()
        poll.register(self, event)
        poll.poll(1000 * min(1, 1 if self._timeout is None else self._timeout))
        self._waited_seconds += time.monotonic() - began
        since, moved_bytes = self._mark
        is_over = self._waited_seconds > allowed_seconds(self.moved_bytes)
        if self._waited_seconds - since >= 1:
            self._mark = (self._waited_seconds, self.moved_bytes)
            is_slow = self.moved_bytes - moved_bytes < SLOWEST_BYTES
            is_over = is_over or (is_slow and self._is_crowded())
        if is_over:
            raise ConnectionResetError(errno.ECONNRESET, "the client is too slow")

    # For threads and the main loop: none of these waits.

    def recv_available(self, size: int) -> bytes | None:
        """What has come; None if nothing has, empty if the client has closed its side."""
        try:
            return super().recv(size)
        except BlockingIOError:
            return None

    def flush(self) -> bool:
        """Sends as much of what waits as the kernel takes. Returns whether all of it is sent."""
        while self._unsent:
            piece = self._unsent[0]
            if isinstance(piece, bytearray):
                sent = self._send(piece)
                del piece[:sent]
                self.unsent_bytes -= sent
                is_sent = not piece
            else:
                sent = self._send_file(piece) if piece.left else 0
                is_sent = not piece.left
            self.moved_bytes += sent
            if is_sent:
                self._drop()
            elif not sent:
                return False
        return True

    @property
    def has_unsent(self) -> bool:
        """Whether a part of an answer waits to be sent."""
        return bool(self._unsent)

    def dispose(self) -> None:
        """Closes the connection, and the files that wait to be sent."""
        while self._unsent:
            self._drop()
        super().close()

    def _drop(self) -> None:
        piece = self._unsent.popleft()
        if isinstance(piece, _FilePart):
            os.close(piece.descriptor)

    def _send(self, data: memoryview | bytearray) -> int:
        try:
            return super().send(data)
        except BlockingIOError:
            return 0

    def _send_file(self, part: _FilePart) -> int:
        count = min(part.left, _SEND_BYTES)
        try:
            sent = os.sendfile(self.fileno(), part.descriptor, part.offset, count)
        except BlockingIOError:
            return 0
        if not sent:
            raise ConnectionResetError(errno.ECONNRESET, "the file has become shorter")
        part.offset += sent
        part.left -= sent
        return sent


class Connection(TConn):
    """gunicorn's connection, with what its client has sent, and until when it may wait."""

    sock: ClientSocket

    def __init__(self, cfg: Any, client: ClientSocket, peer: Any, server: Any) -> None:
        super().__init__(cfg, client, peer, server)
        self.init()
        self.arrival = Arrival()
        self.keep = True
        """Whether another request may follow."""
        self.react: Callable[[Connection], None]
        """What the main loop does when the socket is ready."""
        self.events = 0
        """What the main loop waits for."""
        self.since = time.monotonic()
        """When it began to wait."""
        self.until = self.since
        """When it is closed, if it still waits."""
        self.held_bytes = 0
        """How many bytes it holds of the worker's budget."""
