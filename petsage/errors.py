"""Every error that ends a command, and what its message says.

    PetSageError          1   the message is for whoever ran the command
      FeatureError        1   a feature cannot be used
      CheckError         78   a check, or an application's use of it, is wrong
      ConfigError        78   a `PETSAGE_*` variable is wrong: petsage.config
      ApplicationError    1   an application cannot be loaded: petsage.applications
      ServeError          1   an application cannot be served: petsage.serving.loading
      BuildError          1   a feature is not built: petsage.builder

`petsage.cli` turns each into its lines on standard error and its exit code, and nothing else does.
"""

import difflib
import os
from collections.abc import Iterable
from typing import ClassVar, NoReturn


class PetSageError(Exception):
    """What the user has to mend: a line for each problem, none of which holds a secret."""

    exit_code: ClassVar[int] = 1
    """The exit code of a command that fails with it."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def lines(self) -> str:
        """The problems as they are printed, each behind the program's name."""
        return "\n".join(f"petsage: {problem}" for problem in self.problems)


class Terminated(KeyboardInterrupt):
    """SIGTERM came. What cleans up after a `KeyboardInterrupt` cleans up after this too."""


def terminate(_number: int, _frame: object) -> NoReturn:
    """The handler of SIGTERM. Without one, the kernel delivers no SIGTERM to process 1."""
    raise Terminated


class FeatureError(PetSageError):
    """A feature cannot be used; the message has its name, and is one line."""


class CheckError(PetSageError, ValueError):
    """A check is not valid, or an application cannot use it; the message is one line that holds
    nothing but names."""

    exit_code = os.EX_CONFIG


def nearest(word: str, known: Iterable[str]) -> str:
    """What follows "unknown" in a message: the known word most like `word`, or all of them."""
    known = tuple(known)
    if match := difflib.get_close_matches(word, known, n=1):
        return f"; did you mean {match[0]}?"
    return f"; known are {', '.join(known)}"
