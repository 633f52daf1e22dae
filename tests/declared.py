"""Helpers for tests of declared dependencies: the verdict on a URL, and a silent server."""

import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

from petsage.checks import Check, CheckFailed
from petsage.dependencies.declaration import declared_checks

AWKWARD_PASSWORDS = ("pa#ss1", "pa?ss2", "pa@ss3", "pa ss4", "pässwörd5", "p%41:/&'\"\\6")
"""Each has a character that has a meaning in a URL."""


def check_of(url: str) -> Check:
    """The check that a URL declares, named `it`."""
    (check,) = declared_checks(f"it={url}")
    return check


def verdict(url: str, secret: str = "") -> str:
    """Why the check of this URL fails; empty if it passes.

    Asserts that the secret is not in the texts of the check, its failure or the traceback.
    """
    check = check_of(url)
    failure = _failure(check.run)
    if failure is None:
        return ""
    texts = [str(failure), *traceback.format_exception(failure)]
    texts += [repr(thing) for thing in (check, check.run, failure)]
    assert failure.__context__ is None
    for form in filter(None, {secret, quote(secret, safe="")}):
        assert not [text for text in texts if form in text]
    return str(failure)


_RESOLVING = """
import socket, sys
def look_up(host, port, *_, **__):
    found = [host] if host[0].isdigit() else sys.argv[1].split(",")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0)) for address in found]
socket.getaddrinfo = look_up
from petsage.checks import CheckFailed
from petsage.dependencies.declaration import declared_checks
for url in sys.argv[2:]:
    try:
        declared_checks(f"it={url}")[0].run()
        print()
    except CheckFailed as failure:
        print(failure)
"""


def verdicts_where_names_have(addresses: tuple[str, ...], *urls: str) -> list[str]:
    """The verdicts of another process, in which every name resolves to these addresses."""
    command = [sys.executable, "-c", _RESOLVING, ",".join(addresses), *urls]
    return subprocess.check_output(command, text=True, timeout=60).splitlines()


def _failure(run: Callable[[], object]) -> CheckFailed | None:
    try:
        run()
    except CheckFailed as failure:
        return failure
    return None


@contextmanager
def silent() -> Iterator[int]:
    """The port of a server that never answers: the kernel accepts its connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
