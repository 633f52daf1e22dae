"""The `petsage` command, which is `python -m petsage` too.

An interruption is heard before the imports, which are most of the start; and by then `--junit` is
no longer the document of the run before.
"""

import os
import signal
import sys
from contextlib import suppress

_WORDS = {signal.SIGINT: b"interrupted", signal.SIGTERM: b"terminated"}


def main() -> None:
    """Runs the command."""
    for number in _WORDS:
        signal.signal(number, _end)
    if proves := sys.argv[1:2] == ["smoke-test"]:
        from petsage.rollout.document import reserve_from

        reserve_from(sys.argv)
    from petsage.cli import main as command
    from petsage.errors import terminate

    if not proves:  # that one handles them itself as soon as it reads its options
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, terminate)
    try:
        command()
    except SystemExit as end:
        # Python would wait for the threads of the application that `check --app` has loaded.
        if sys.argv[1:2] != ["check"]:
            raise
        with suppress(OSError):  # nobody reads it any more
            sys.stdout.flush()
        os._exit(int(end.code or 0))


def _end(number: int, _frame: object) -> None:
    # No exception: the middle of an import is no place for one.
    os.write(2, b"petsage: %b\n" % _WORDS[signal.Signals(number)])
    os._exit(128 + number)


if __name__ == "__main__":
    main()
