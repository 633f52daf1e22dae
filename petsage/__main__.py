"""The `petsage` command, which is `python -m petsage` too.

Signals are handled before the imports, which take most of the start. By then the file of `--junit`
no longer holds the document of an earlier run.
"""

import os
import signal
import sys
from contextlib import suppress

_MESSAGES = {signal.SIGINT: b"interrupted", signal.SIGTERM: b"terminated"}


def main() -> None:
    """Runs the command."""
    for number in _MESSAGES:
        signal.signal(number, _end)
    if is_smoke_test := sys.argv[1:2] == ["smoke-test"]:
        from petsage.rollout.document import reserve_from

        reserve_from(sys.argv)
    from petsage.cli import main as command
    from petsage.errors import terminate

    if not is_smoke_test:  # which sets handlers of its own once it has read its options
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
    # It raises nothing: in the middle of an import, any code may catch the exception.
    os.write(2, b"petsage: %b\n" % _MESSAGES[signal.Signals(number)])
    os._exit(128 + number)


if __name__ == "__main__":
    main()
