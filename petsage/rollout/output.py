"""Where the reports of a command go, which may be closed or full; and the signals that end it."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


def done(what: str, write: Callable[[], object]) -> bool:
    """Whether `write` succeeded; its error goes to standard error."""
    try:
        write()
    except BrokenPipeError:
        pass  # who reads has read enough
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
    """Whether it is a terminal. A stream that was closed before the start is None."""
    return stream is not None and stream.isatty()


def _write(text: str, stream: TextIO | None) -> None:
    if stream is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    try:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except OSError:
        # What is left in its buffer would fail again at the end, and replace the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


@contextmanager
def handled(handlers: dict[signal.Signals, Callable[[int, Any], object]]) -> Iterator[None]:
    """Has these signals handled so, and as before at the end."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
