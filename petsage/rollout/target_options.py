"""The options of every command that asks targets. Each is checked before anything is asked."""

import os
import re
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial, wraps
from ipaddress import ip_address
from itertools import chain
from typing import Any, TypeVar

import click

from petsage.client import Client, Target
from petsage.contract import EXPECTATION_FORMS, TOKEN, Contract, Source, expectation, expectations
from petsage.options import seconds
from petsage.release import RELEASE, RULE
from petsage.rollout.names import Names
from petsage.rollout.output import err
from petsage.rollout.plan import RolloutPlan
from petsage.rollout.verdict import system_message
from petsage.smoke_test import PATH

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])

_OVERRIDE = re.compile(r"([^:\[\]]+|\[([^\]]+)\]):([0-9]{1,5}):(.+)")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_MAX_BYTES = 2**24
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")

Override = tuple[tuple[str, int], tuple[str, ...]]
"""A host and a port, and the addresses to use for them instead of a look-up."""


def _parsed(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Makes a parser one of an option's value: its `ValueError` becomes an error of usage."""

    @wraps(parse)
    def parsed(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(f"{text[:200]!a}: {error}") from None

    return parsed


@_parsed
def release(text: str) -> str:
    """A release, in the form of `PETSAGE_RELEASE`.

    An empty one is refused: it comes from a shell variable that is not set, and proves nothing.
    """
    if not RELEASE.fullmatch(text):
        raise ValueError(f"it {RULE}")
    return text


@_parsed
def _expected(text: str) -> str:
    expectation(text)
    return text


def _proxy(text: str) -> Target:
    with suppress(ValueError):
        if re.fullmatch(r"http://[^/?#@]+/?", text):
            return Target.parse(text)
    # The message does not repeat the text, which may hold a password.
    raise click.BadParameter("it must be http://HOST:PORT")


def headers(text: str) -> tuple[tuple[str, str], ...]:
    """One header, or for `@FILE` one from each line of the file, as in curl."""
    if not text.startswith("@"):
        return (_header(text),)
    lines = _content(text[1:], "headers").splitlines()
    return tuple(_header(line.decode("latin-1")) for line in lines if line.strip())


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
        # The message does not repeat the text, which may be a secret.
        raise click.BadParameter("it must be of the form 'Name: value', in one line of Latin-1")
    return name, value.strip()


def override(text: str) -> Override:
    """Reads the value of --resolve."""
    try:
        host, ipv6, port, listed = _OVERRIDE.fullmatch(text).groups()  # type: ignore[union-attr]
        addresses = tuple(str(ip_address(text.strip("[]"))) for text in listed.split(","))
        return (str(ip_address(ipv6)) if ipv6 else host.lower(), int(port)), addresses
    except (AttributeError, ValueError):
        form = "HOST:PORT:ADDRESS[,ADDRESS...], an IPv6 host in brackets"
        raise click.BadParameter(f"it must be {form}") from None


def _targets(ctx: click.Context, _param: object, values: tuple[str, ...]) -> tuple[Target, ...]:
    """Each target once. `@FILE` and `-` (standard input) are read: a target on each line; a line
    that begins with `#` is a comment."""
    root = "/" if ctx.params["expect"] else PATH
    targets = {_target(*line, root): None for value in values for line in _lines(value)}
    if not targets:
        raise click.UsageError("no target: name one, as in http://127.0.0.1:8000")
    return tuple(targets)


def _lines(value: str) -> list[tuple[str, str]]:
    """The targets that a value stands for, each with the place where it was read."""
    if value != "-" and not value.startswith("@"):
        return [(value, "")]
    name = value.removeprefix("@")
    lines = _content(name, "targets").decode("utf-8-sig", "replace").splitlines()
    name = "standard input" if name == "-" else name
    numbered = [(line.strip(), f"{name}, line {number}: ") for number, line in enumerate(lines, 1)]
    targets = [(line, where) for line, where in numbered if line and not line.startswith("#")]
    if not targets:
        raise click.UsageError(f"{name} holds no target")
    return targets


def _content(name: str, what: str) -> bytes:
    """The content of a file, or for `-` of standard input; `what` it holds is for the message."""
    if name == "-" and not sys.stdin:
        return b""
    try:
        with click.open_file(name, "rb") as file:
            content = bytes(file.read(_MAX_BYTES + 1))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise click.UsageError(f"the {what} in {name!r}: {reason}") from None
    if len(content) > _MAX_BYTES:
        raise click.UsageError(f"the {what} in {name!r}: more than {_MAX_BYTES} bytes")
    return content


def _target(text: str, where: str, root: str) -> Target:
    try:
        return Target.parse(text, root)
    except ValueError as error:
        # What comes after a ? or before an @ may be a password.
        named = "a target" if set(text) & set("?@") or len(text) > 200 else ascii(text)
        raise click.UsageError(f"{where}{named}: {error}") from None


_CONTRACT = ("release_from", "instance_from")
_several = partial(click.option, multiple=True)
_source = _parsed(Source.parse)
_EXPECT = f"{EXPECTATION_FORMS}, in place of the smoke test's contract. Repeatable."
_RESOLVE = "Connect to ADDRESS and do not look HOST up."
_HEADER = "'Name: value'; or a file with one on each line. Repeatable."
_RELEASE = "Where an answer has its release: header:NAME, json:/POINTER or body."
_INSTANCE = "Where an answer has its instance, in the same forms."
_OPTIONS = (
    click.argument("targets", nargs=-1, metavar="TARGET...", callback=_targets),
    click.option("--every-address", is_flag=True, help="Ask each address that a name resolves to."),
    click.option(
        "--timeout", "timeout_seconds", type=seconds, help="Time for each whole answer. Default: 5."
    ),
    click.option(
        "--max-latency", "max_latency_seconds", type=seconds, help="A slower answer is a breach."
    ),
    _several("--resolve", type=override, metavar="HOST:PORT:ADDRESS[,...]", help=_RESOLVE),
    _several("--header", type=headers, metavar="HEADER|@FILE", help=_HEADER),
    click.option("--proxy", type=_proxy, metavar="URL", help="Ask through this proxy."),
    _several("--expect", type=_expected, metavar="WHAT", help=_EXPECT, is_eager=True),
    click.option("--release-from", type=_source, metavar="WHERE", help=_RELEASE),
    click.option("--instance-from", type=_source, metavar="WHERE", help=_INSTANCE),
    click.option("--cacert", metavar="FILE", help="Trust these certificates and no others."),
    click.option("--cert", metavar="FILE", help="The client's certificate, maybe with its key."),
    click.option("--key", metavar="FILE", help="The key of --cert."),
    click.option("--insecure", is_flag=True, help="Accept any certificate."),
    click.option("--json", "json_wanted", is_flag=True, help="Print one JSON document."),
)


def options(command: _F) -> _F:
    """Decorates a command with these options."""
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
    """Makes from the options' values the plan, the client that asks, and what looks names up.

    Raises `click.UsageError` if two options exclude each other.
    """
    given = {name: value for name, value in given.items() if value is not None}
    contract = {name: given.pop(name) for name in _CONTRACT if name in given}
    trust = {name: given.pop(name, "") for name in ("cacert", "cert", "key", "insecure")}
    if expect:
        contract["parts"] = expectations(expect)
    targets = _with_addresses(targets, resolve)
    plan = RolloutPlan(targets=targets, contract=Contract(**contract), **given)
    _check_proxy(plan, proxy, bool(resolve))
    # Only the bodies that the contract judges are read.
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
        return None  # reading the root certificates takes longer than a round
    name = "--cacert"
    try:
        context = ssl.create_default_context(cafile=cacert or None)
        name = "--cert"
        if cert:  # with password=None OpenSSL would ask for one on the terminal
            context.load_cert_chain(cert, key or None, password="")
    except OSError as error:
        raise click.UsageError(f"{name} cannot be used: {system_message(error)}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _with_addresses(
    targets: tuple[Target, ...], overrides: tuple[Override, ...]
) -> tuple[Target, ...]:
    """The targets, with the addresses that the overrides give them."""
    given: dict[tuple[str, int], tuple[str, ...]] = {}
    for place, addresses in overrides:
        if place not in {(target.host, target.port) for target in targets}:
            raise click.UsageError("--resolve {}:{} is no target's host and port".format(*place))
        given[place] = tuple(dict.fromkeys(given.get(place, ()) + addresses))
    return tuple(
        replace(target, addresses=given.get((target.host, target.port), target.addresses))
        for target in targets
    )
