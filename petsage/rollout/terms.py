"""What every command that asks targets has: its options, each checked before anything is asked."""

import os
import re
import ssl
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from ipaddress import ip_address
from itertools import chain
from typing import Any, TypeVar

import click

from petsage.baked import RELEASE
from petsage.client import Client, Target
from petsage.contract import EXPECTATION_FORMS, TOKEN, Contract, Source, expectation, expectations
from petsage.options import seconds
from petsage.rollout.names import Names
from petsage.rollout.output import err
from petsage.rollout.plan import RolloutPlan
from petsage.rollout.verdict import system_message

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])

_OVERRIDE = re.compile(r"([^:\[\]]+|\[([^\]]+)\]):([0-9]{1,5}):(.+)")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_MOST_BYTES = 2**24
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")

Override = tuple[tuple[str, int], tuple[str, ...]]
"""A host and a port, and the addresses that stand in for a look-up."""


def _parsed(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """The same for a value of the command line: its `ValueError` is a wrong usage."""

    @wraps(parse)
    def parsed(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(f"{text[:200]!a}: {error}") from None

    return parsed


@_parsed
def release(text: str) -> str:
    """As `PETSAGE_RELEASE`. An empty one comes from an unset variable, and would prove nothing."""
    if not RELEASE.fullmatch(text):
        raise ValueError("it must be 1 to 128 printable ASCII characters without spaces")
    return text


@_parsed
def _expected(text: str) -> str:
    expectation(text)
    return text


@_parsed
def _proxy(text: str) -> Target:
    if not re.fullmatch(r"http://[^/?#@]+/?", text):
        raise click.BadParameter("it must be http://HOST:PORT")  # it may hold a password
    return Target.parse(text)


def headers(text: str) -> tuple[tuple[str, str], ...]:
    """A header, or those in the lines of `@FILE`, as curl has it."""
    if not text.startswith("@"):
        return (_header(text),)
    lines = _content(text[1:], "headers").splitlines()
    return tuple(_header(line.decode("latin-1")) for line in lines if line.strip())


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
        # No message repeats it: it may be a secret.
        raise click.BadParameter("it must be of the form 'Name: value', in one line of Latin-1")
    return name, value.strip()


def override(text: str) -> Override:
    try:
        host, address, port, addresses = _OVERRIDE.fullmatch(text).groups()  # type: ignore[union-attr]
        found = tuple(str(ip_address(one.strip("[]"))) for one in addresses.split(","))
        return (str(ip_address(address)) if address else host.lower(), int(port)), found
    except (AttributeError, ValueError):
        form = "HOST:PORT:ADDRESS[,ADDRESS...], an IPv6 host in brackets"
        raise click.BadParameter(f"it must be {form}") from None


def _targets(_ctx: object, _param: object, values: tuple[str, ...]) -> tuple[Target, ...]:
    """Each target once. `@FILE` and `-` are read, a target a line; `#` begins a comment line."""
    found = {_target(*line): None for value in values for line in _lines(value)}
    if not found:
        raise click.UsageError("no target: name one, as in http://127.0.0.1:8000")
    return tuple(found)


def _lines(value: str) -> list[tuple[str, str]]:
    """The targets that a value stands for, and where each was read."""
    if value != "-" and not value.startswith("@"):
        return [(value, "")]
    name = value.removeprefix("@")
    lines = _content(name, "targets").decode("utf-8-sig", "replace").splitlines()
    name = "standard input" if name == "-" else name
    numbered = [(line.strip(), f"{name}, line {number}: ") for number, line in enumerate(lines, 1)]
    found = [(line, where) for line, where in numbered if line and not line.startswith("#")]
    if not found:
        raise click.UsageError(f"{name} holds no target")
    return found


def _content(name: str, what: str) -> bytes:
    """That of a file, or of standard input."""
    if name == "-" and not sys.stdin:
        return b""
    try:
        with click.open_file(name, "rb") as file:
            content = bytes(file.read(_MOST_BYTES + 1))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise click.UsageError(f"the {what} in {name!r}: {reason}") from None
    if len(content) > _MOST_BYTES:
        raise click.UsageError(f"the {what} in {name!r}: more than {_MOST_BYTES} bytes")
    return content


def _target(text: str, where: str) -> Target:
    try:
        return Target.parse(text)
    except ValueError as error:
        # What follows a ? or stands before an @ may be somebody's password.
        named = "a target" if set(text) & set("?@") or len(text) > 200 else ascii(text)
        raise click.UsageError(f"{where}{named}: {error}") from None


_CONTRACT = ("release_from", "instance_from")
_several = partial(click.option, multiple=True)
_source = _parsed(Source.parse)
_EXPECT = f"{EXPECTATION_FORMS}, in place of the smoke test's contract. Repeatable."
_RELEASE = "Where the release stands: header:NAME, json:/POINTER or body."
_OPTIONS = (
    click.argument("targets", nargs=-1, metavar="TARGET...", callback=_targets),
    click.option("--every-address", is_flag=True, help="Ask each address that a name resolves to."),
    click.option("--timeout", "timeout_seconds", type=seconds, help="For one whole answer: 5 s."),
    click.option("--max-latency", "max_latency_seconds", type=seconds, help="Slower is a breach."),
    _several("--resolve", type=override, help="HOST:PORT:ADDRESS[,...]"),
    _several("--header", type=headers, help="'Name: value' or @FILE"),
    click.option("--proxy", type=_proxy, metavar="URL", help="Ask through this proxy."),
    _several("--expect", type=_expected, metavar="WHAT", help=_EXPECT),
    click.option("--release-from", type=_source, metavar="WHERE", help=_RELEASE),
    click.option("--instance-from", type=_source, metavar="WHERE", help="The same, the instance."),
    click.option("--cacert", metavar="FILE", help="Trust these certificates and no others."),
    click.option("--cert", metavar="FILE", help="The client's certificate, maybe with its key."),
    click.option("--key", metavar="FILE", help="The key of --cert."),
    click.option("--insecure", is_flag=True, help="Accept any certificate."),
)


def options(command: _F) -> _F:
    """Gives a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read(
    targets: tuple[Target, ...],
    resolve: tuple[Override, ...],
    header: tuple[tuple[tuple[str, str], ...], ...],
    expect: tuple[str, ...],
    proxy: Target | None,
    **given: Any,
) -> tuple[RolloutPlan, Client, Names]:
    """What is to be proven, how to ask, and where names lead to, of the values of the options.

    Raises `click.UsageError` for what excludes each other.
    """
    given = {name: value for name, value in given.items() if value is not None}
    contract = {name: given.pop(name) for name in _CONTRACT if name in given}
    trust = {name: given.pop(name, "") for name in ("cacert", "cert", "key", "insecure")}
    if expect:
        contract["parts"] = expectations(expect)
    targets = _placed(targets, resolve, proxy)
    plan = RolloutPlan(targets=targets, contract=Contract(**contract), **given)
    _check_proxy(plan, proxy, bool(resolve))
    # A body is read where something judges it.
    bodies = range(100, 600) if contract else (200, 503)
    client = Client(tuple(chain(*header)), _tls(plan, **trust), bodies, proxy)
    return plan, client, Names(proxy)


def _check_proxy(plan: RolloutPlan, proxy: Target | None, overridden: bool) -> None:
    if not proxy:
        unused = sorted(
            name for name, url in os.environ.items() if url and name.lower() in _PROXIES
        )
        if unused:
            err(f"NOTE: the proxy of {', '.join(unused)} is not used: give it as --proxy\n")
    elif plan.every_address or overridden:
        other = "--every-address" if plan.every_address else "--resolve"
        raise click.UsageError(f"--proxy and {other} exclude each other: the proxy looks names up")
    elif any(target.unix_path for target in plan.targets):
        raise click.UsageError("--proxy does not lead to a unix socket")


def _tls(
    plan: RolloutPlan, *, cacert: str, cert: str, key: str, insecure: bool
) -> ssl.SSLContext | None:
    if key and not cert:
        raise click.UsageError("--key needs --cert")
    if insecure and cacert:
        raise click.UsageError("--insecure and --cacert exclude each other")
    if insecure:
        err("WARNING: --insecure: no certificate is checked, anybody may be answering\n")
    if not any(target.secure for target in plan.targets):
        return None  # to read the root certificates takes longer than a round
    name = "--cacert"
    try:
        context = ssl.create_default_context(cafile=cacert or None)
        name = "--cert"
        if cert:  # without a password OpenSSL would ask the terminal for one
            context.load_cert_chain(cert, key or None, password="")
    except OSError as error:
        raise click.UsageError(f"{name} cannot be used: {system_message(error)}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _placed(
    targets: tuple[Target, ...], overrides: tuple[Override, ...], proxy: Target | None
) -> tuple[Target, ...]:
    """The targets with the addresses that are given for them."""
    found: dict[tuple[str, int], tuple[str, ...]] = {}
    for place, addresses in overrides:
        if place not in {(target.host, target.port) for target in targets}:
            raise click.UsageError("--resolve {}:{} is no target's host and port".format(*place))
        found[place] = tuple(dict.fromkeys(found.get(place, ()) + addresses))
    if proxy:
        return tuple(replace(target, addresses=proxy.addresses) for target in targets)
    return tuple(
        replace(one, addresses=found.get((one.host, one.port), one.addresses)) for one in targets
    )
