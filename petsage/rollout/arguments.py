"""The values of the command's options, each checked before anything is asked."""

import re
import sys
from ipaddress import ip_address
from pathlib import Path

import click

from petsage.client import Target

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\t -~\x80-\xff]*")

Override = tuple[tuple[str, int], tuple[str, ...]]


def header(text: str) -> tuple[str, str]:
    """A name and a value, which may be a secret: no message repeats it."""
    name, colon, value = text.partition(":")
    if not (colon and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
        raise click.BadParameter("it must be of the form 'Name: value', in one line of Latin-1")
    return name, value.strip()


def override(text: str) -> Override:
    """A host and a port, and the addresses that stand in for a look-up."""
    try:
        host, port, addresses = text.split(":", 2)
        found = tuple(str(ip_address(one.strip("[]"))) for one in addresses.split(","))
        return (host.lower(), int(port)), found
    except ValueError:
        raise click.BadParameter("it must be HOST:PORT:ADDRESS[,ADDRESS...]") from None


def release(text: str) -> str:
    """As `PETSAGE_RELEASE`. An empty one comes from an unset variable, and would prove nothing."""
    if not re.fullmatch(r"[!-~]{1,128}", text):
        raise click.BadParameter("it must be 1 to 128 printable ASCII characters without spaces")
    return text


def targets(_ctx: object, _param: object, values: tuple[str, ...]) -> tuple[Target, ...]:
    """Each target once. `@FILE` and `-` are read, a target a line; `#` begins a comment line."""
    found: dict[Target, None] = {}
    for value in values:
        if value == "-":
            found |= _listed("standard input", sys.stdin.buffer.read() if sys.stdin else b"")
        elif value.startswith("@"):
            found |= _listed(value[1:], _content(value[1:]))
        else:
            found[_target(value, "")] = None
    if not found:
        raise click.UsageError("no target: name one, as in http://127.0.0.1:8000")
    return tuple(found)


def _content(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise click.UsageError(f"the targets in {name!r}: {error.strerror}") from None


def _listed(name: str, content: bytes) -> dict[Target, None]:
    lines = map(str.strip, content.decode("utf-8-sig", "replace").splitlines())
    found = {
        _target(line, f"{name}, line {number}: "): None
        for number, line in enumerate(lines, 1)
        if line and not line.startswith("#")
    }
    if not found:
        raise click.UsageError(f"{name} holds no target")
    return found


def _target(text: str, where: str) -> Target:
    try:
        return Target.parse(text)
    except ValueError as error:
        # What follows a ? or stands before an @ may be somebody's password.
        named = "a target" if set(text) & set("?@") or len(text) > 200 else ascii(text)
        raise click.UsageError(f"{where}{named}: {error}") from None
