"""The values of the command's options, each checked before anything is asked."""

import re
import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import click

from petsage import contract
from petsage.client import Target

_T = TypeVar("_T")

_OVERRIDE = re.compile(r"([^:\[\]]+|\[([^\]]+)\]):([0-9]{1,5}):(.+)")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")

Override = tuple[tuple[str, int], tuple[str, ...]]


def headers(text: str) -> tuple[tuple[str, str], ...]:
    """A header, or those in the lines of `@FILE`, as curl has it. No message repeats a value: it
    may be a secret, and then a file keeps it out of the list of processes."""
    if not text.startswith("@"):
        return (_header(text),)
    lines = _content(text[1:], "headers").decode("latin-1").splitlines()
    return tuple(_header(line) for line in lines if line.strip())


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and contract.TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
        raise click.BadParameter("it must be of the form 'Name: value', in one line of Latin-1")
    return name, value.strip()


def override(text: str) -> Override:
    """A host and a port, and the addresses that stand in for a look-up."""
    try:
        host, address, port, addresses = _OVERRIDE.fullmatch(text).groups()  # type: ignore[union-attr]
        found = tuple(str(ip_address(one.strip("[]"))) for one in addresses.split(","))
        return (str(ip_address(address)) if address else host.lower(), int(port)), found
    except (AttributeError, ValueError):
        form = "HOST:PORT:ADDRESS[,ADDRESS...], an IPv6 host in brackets"
        raise click.BadParameter(f"it must be {form}") from None


def expectation(text: str) -> str:
    """A part of a contract, as `petsage.contract.expectation` reads it."""
    _read(text, contract.expectation)
    return text


def source(text: str) -> contract.Source:
    """Where the release or the instance stands."""
    return _read(text, contract.Source.parse)


def proxy(text: str) -> Target:
    """The HTTP proxy to ask through."""
    if not re.fullmatch(r"http://[^/?#@]+/?", text):
        raise click.BadParameter("it must be http://HOST:PORT")
    return _read(text, Target.parse)


def _read(text: str, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(f"{text[:200]!a}: {error}") from None


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
            found |= _listed(value[1:], _content(value[1:], "targets"))
        else:
            found[_target(value, "")] = None
    if not found:
        raise click.UsageError("no target: name one, as in http://127.0.0.1:8000")
    return tuple(found)


def _content(name: str, what: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise click.UsageError(f"the {what} in {name!r}: {reason}") from None


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
