"""What has arrived of a request, and whether a thread can begin with it."""

import re

LARGE_BYTES = 160 * 1024
"""A request that is longer does not wait until it is whole."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n")
_EXPECTATION = re.compile(rb"\A[^\r]* http/1\.1\r\n(?:.*\r\n)?expect:[ \t]*100-continue", re.DOTALL)
_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")


class Arrival:
    """The bytes of a request until a thread begins with it.

    It only looks for the request's end, and at each byte about once. gunicorn's parser judges the
    request: with one that it will refuse, a thread can begin at any time.
    """

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.has_head = False
        self.expects_continue = False
        """Whether the client sends the body only after `100 Continue`."""
        self._seen = 0
        """How many bytes need no second look; in a chunked body, where the next chunk begins."""
        self._end = 0
        """The length of the whole request; 0 if the body is chunked."""

    def can_begin(self) -> bool:
        """Whether a thread can begin: the request is whole, or large."""
        if not self.has_head and not self._find_head():
            return len(self.data) >= LARGE_BYTES or self._has_bare_newline()
        if len(self.data) >= LARGE_BYTES:
            return True
        return len(self.data) >= self._end if self._end else self._is_last_chunk_there()

    def _find_head(self) -> bool:
        end = self.data.find(b"\r\n\r\n", max(self._seen - 3, 0)) + 4
        if end < 4:
            return False
        self.has_head = True
        head = bytes(self.data[: end - 2]).lower()
        if b"\r\ntransfer-encoding:" in head:
            self._seen = end
        else:
            length = _LENGTH.search(head)
            self._end = end + (int(length[1]) if length else 0)
        self.expects_continue = _EXPECTATION.search(head) is not None
        return True

    def _has_bare_newline(self) -> bool:
        """Whether a line ends in LF alone. gunicorn refuses that, and its head may never end."""
        start, self._seen = self._seen, len(self.data)
        return _BARE_NEWLINE.search(self.data, start) is not None

    def _is_last_chunk_there(self) -> bool:
        """Whether the last chunk is there (RFC 9112, 7.1), or a line that is no size of a chunk,
        which gunicorn will refuse."""
        while (end := self.data.find(b"\r\n", self._seen, self._seen + 8192)) >= 0:
            size = self.data[self._seen : end].partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,12}", size):
                return True
            if not int(size, 16):
                # An empty line ends the trailers. It comes at once if there are none.
                return self.data.find(b"\r\n\r\n", end) >= 0
            self._seen = end + 2 + int(size, 16) + 2
        return len(self.data) - self._seen >= 8192
