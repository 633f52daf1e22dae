"""Runs Python programs in the project, several at once."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen

from petsage.builder import BuildError

LIMIT_SECONDS = 120
"""Programs that take longer are ended."""

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    code: int
    output: str
    errors: str


def run(
    modules: Mapping[str, Sequence[str]], root: Path, obey: Callable[[], None] = lambda: None
) -> dict[str, Ended]:
    """Runs `python -m` with each of these arguments in the project; it leaves no caches.

    Options that the environment has for pytest are left out: they would change what it tells.

    `obey` is called all the while: if it raises, all programs are ended. Raises `BuildError` if
    they take too long.
    """
    # -m puts the working directory, so the project, before what is installed.
    python = [sys.executable, "-B", "-m"]
    env = {**os.environ, "PYTEST_ADDOPTS": ""}
    running = {
        name: Popen(  # noqa: S603
            [*python, *arguments], cwd=root, env=env, stdout=PIPE, stderr=PIPE, errors="replace"
        )
        for name, arguments in modules.items()
    }
    with ThreadPoolExecutor(len(running)) as threads:
        outputs = {name: threads.submit(one.communicate) for name, one in running.items()}
        try:
            deadline = time.monotonic() + LIMIT_SECONDS
            while wait(outputs.values(), _POLL_SECONDS).not_done:
                obey()
                if time.monotonic() > deadline:
                    raise BuildError(f"{', '.join(running)}: not done after {LIMIT_SECONDS} s")
        finally:
            for one in running.values():
                one.kill()
    obey()
    return {name: Ended(one.returncode, *outputs[name].result()) for name, one in running.items()}
