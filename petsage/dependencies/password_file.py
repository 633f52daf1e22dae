"""A password that is the content of a file: a secret that a cluster mounts, and may change."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from petsage.checks import CheckFailed
from petsage.dependencies.schemes import Run

_BYTES = 4096


def with_password_of(path: Path, make: Callable[[str], Run]) -> Run:
    """The run that `make` makes of the password in the file. Each run reads the file again.

    The reason of a failure has neither the path nor a piece of what is in the file. Raises what
    `make` raises for any password.
    """
    made = lru_cache(maxsize=1)(make)  # what it makes may be expensive, as a TLS context is
    made("")

    def run() -> object:
        return made(_password(path))()

    return run


def _password(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES + 1)
        password = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise CheckFailed(f"its password file: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CheckFailed("its password file is not UTF-8") from None
    if not password or len(content) > _BYTES or "\0" in password:
        raise CheckFailed(f"its password file does not hold 1 to {_BYTES} bytes of text")
    return password
