"""Output to streams that may be closed or full, and handlers of the signals that end a command."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


def done(what: str, write: Callable[[], object]) -> bool:
    """Calls `write`, and returns whether it succeeded; an error is printed to standard error."""
    try:
        write()
    except BrokenPipeError:
        pass  # the reader has read enough, as `head` does
    except OSError as error:
        err(f"petsage: {what}: {error.strerror}\n")
        return False
    return True


def out(text: str) -> bool:
    """Writes to standard output; returns whether that succeeded."""
    return done("standard output", lambda: _write(text, sys.stdout))


def err(text: str) -> None:
    """Writes to standard error, if that is possible."""
    with suppress(OSError):
        _write(text, sys.stderr)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is a terminal. It is None if it was closed before the start."""
    return stream is not None and stream.isatty()


def _write(text: str, stream: TextIO | None) -> None:
    if stream is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    try:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except OSError:
        # Python flushes the buffer again at exit: that would fail, and replace the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


@contextmanager
def handled(handlers: dict[signal.Signals, Callable[[int, Any], object]]) -> Iterator[None]:
    """Handles these signals within the block; afterwards they are handled as before."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
