"""Where the reports of a command go: standard output and error, which may be closed or full."""

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

import click


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


def err(text: str) -> None:
    """Writes to standard error, if that is possible."""
    with suppress(OSError):
        write_to(text, sys.stderr)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether it is a terminal. A stream that was closed before the start is None."""
    return stream is not None and stream.isatty()


def write_to(text: str, stream: TextIO | None) -> None:
    """Writes all of the text. Raises `OSError`."""
    if stream is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    try:
        encoding = stream.encoding or "ascii"
        click.echo(text.encode(encoding, "replace").decode(encoding), file=stream, nl=False)
    except OSError:
        # What is left in its buffer would fail again at the end, and replace the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise
