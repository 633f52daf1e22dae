"""A password that is a file's content: a secret that a cluster mounts, and may change."""

from pathlib import Path

from petsage.checks import CheckFailed

_BYTES = 4096


def password_in(path: Path) -> str:
    """The password in this file, without the line end.

    Raises `CheckFailed`. Its message has neither the path nor any of the content.
    """
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
