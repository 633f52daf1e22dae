"""The file of a JUnit document. This module imports little: it writes a first document before the
rest of the program is imported."""

import os
import signal
from contextlib import suppress
from pathlib import Path

UNFINISHED = (
    b"<?xml version='1.0' encoding='utf-8'?>\n"
    b'<testsuite name="petsage smoke-test" tests="1" failures="1" errors="0">'
    b'<testcase classname="petsage smoke-test" name="rollout" time="0.000">'
    b'<failure type="interrupted" message="run: expected an end, saw none yet">'
    b"run: expected an end, saw none yet</failure></testcase></testsuite>\n"
)
"""The document while there is no verdict: a run that is killed leaves it."""


def reserve_from(arguments: list[str]) -> None:
    """Reserves the file of `--junit`. Errors are ignored: the command reports them, once it reads
    its options."""
    for name, value in zip(arguments, [*arguments[1:], ""], strict=True):
        option, equals, given = name.partition("=")
        if option == "--junit":
            with suppress(OSError, ValueError):
                reserve(given if equals else value)


def reserve(name: str) -> Path:
    """Replaces the document of the run before by `UNFINISHED`; returns the absolute path.

    Raises `ValueError` if it is not a file, and `OSError` if it cannot be written.
    """
    path = Path(name).resolve()
    device = any(Path(name).absolute().is_relative_to(place) for place in ("/dev", "/proc"))
    if device or name in ("", "-") or (path.exists() and not path.is_file()):
        raise ValueError("is not a file")
    write(path, UNFINISHED)
    return path


def write(path: Path, document: bytes) -> None:
    """Replaces the file in one step, so that nobody reads half a document. A file that cannot be
    replaced, such as a mount point, is written in place. Raises `OSError`."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    # A signal that ended the process here would leave the temporary file behind.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        beside.write_bytes(document)
        beside.replace(path)
    except OSError:
        path.write_bytes(document)
    finally:
        with suppress(OSError):
            beside.unlink()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
