"""What every command that asks targets has: its options, and what they make."""

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeVar

import click

from petsage.client import Client, Target
from petsage.contract import Contract, expectations
from petsage.options import seconds
from petsage.rollout import arguments
from petsage.rollout.asking import Known, Resolve, RolloutPlan
from petsage.rollout.names import Addresses, Names
from petsage.rollout.output import err
from petsage.rollout.verdict import system_message

_F = TypeVar("_F", bound=Callable[..., Any])

_PROXIES = [
    name for kind in ("http_proxy", "https_proxy", "all_proxy") for name in (kind, kind.upper())
]

_OPTIONS = (
    click.argument("targets", nargs=-1, metavar="TARGET...", callback=arguments.targets),
    click.option("--every-address", is_flag=True, help="Ask each address that a name resolves to."),
    click.option("--timeout", "timeout_seconds", type=seconds, help="For one whole answer: 5 s."),
    click.option("--max-latency", "max_latency_seconds", type=seconds, help="Slower is a breach."),
    click.option(
        "--resolve",
        "overrides",
        type=arguments.override,
        multiple=True,
        help="HOST:PORT:ADDRESS[,...]",
    ),
    click.option(
        "--header", "headers", type=arguments.headers, multiple=True, help="'Name: value' or @FILE"
    ),
    click.option("--proxy", type=arguments.proxy, metavar="URL", help="Ask through this proxy."),
    click.option(
        "--expect",
        "expected",
        type=arguments.expectation,
        multiple=True,
        metavar="WHAT",
        help="status=200-299, json:/POINTER=VALUE, header:NAME=VALUE or body=TEXT, in place of "
        "the smoke test's contract. Repeatable.",
    ),
    click.option(
        "--release-from",
        type=arguments.source,
        metavar="WHERE",
        help="Where the release stands: header:NAME, json:/POINTER or body.",
    ),
    click.option(
        "--instance-from", type=arguments.source, metavar="WHERE", help="The same for the instance."
    ),
    click.option("--cacert", metavar="FILE", help="Trust these certificates and no others."),
    click.option("--cert", metavar="FILE", help="The client's certificate, maybe with its key."),
    click.option("--key", metavar="FILE", help="The key of --cert."),
    click.option("--insecure", is_flag=True, help="Accept any certificate."),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """Whom to ask, and how."""

    plan: RolloutPlan
    client: Client
    resolve: Resolve
    known: Known

    @classmethod
    def of(
        cls,
        headers: tuple[tuple[tuple[str, str], ...], ...],
        overrides: tuple[arguments.Override, ...],
        expected: tuple[str, ...],
        proxy: Target | None,
        **given: Any,
    ) -> "Terms":
        """Of the values of the options. Raises `click.UsageError` for what excludes each other."""
        trust = {name: given.pop(name) for name in ("cacert", "cert", "key", "insecure")}
        places = {name: given.pop(name) for name in ("release_from", "instance_from")}
        wanted = {name: place for name, place in places.items() if place}
        if expected:
            wanted["parts"] = expectations(expected)
        given = {name: value for name, value in given.items() if value is not None}
        plan = RolloutPlan(contract=Contract(**wanted), **given)
        _check_proxy(plan, proxy, bool(overrides))
        client = Client(tuple(chain(*headers)), _tls(plan, **trust), proxy=proxy)
        if wanted:
            client = replace(client, bodies=range(100, 600))
        if trust["insecure"]:
            err("WARNING: --insecure: no certificate is checked, anybody may be answering\n")
        names = Names(_overrides(overrides, plan), proxy)
        return cls(plan, client, names.resolve, names.known)


def options(command: _F) -> _F:
    """Gives a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _check_proxy(plan: RolloutPlan, proxy: Target | None, overridden: bool) -> None:
    if not proxy:
        if unused := sorted(set(filter(os.environ.get, _PROXIES))):
            err(f"NOTE: the proxy of {', '.join(unused)} is not used: give it as --proxy\n")
    elif plan.every_address or overridden:
        other = "--every-address" if plan.every_address else "--resolve"
        raise click.UsageError(f"--proxy and {other} exclude each other: the proxy looks names up")
    elif any(target.unix_path for target in plan.targets):
        raise click.UsageError("--proxy does not lead to a unix socket")


def _tls(
    plan: RolloutPlan, *, cacert: str | None, cert: str | None, key: str | None, insecure: bool
) -> ssl.SSLContext | None:
    if key and not cert:
        raise click.UsageError("--key needs --cert")
    if insecure and cacert:
        raise click.UsageError("--insecure and --cacert exclude each other")
    if not any(target.secure for target in plan.targets):
        return None  # to read the root certificates takes longer than a round
    name = "--cacert"
    try:
        context = ssl.create_default_context(cafile=cacert)
        name = "--cert"
        if cert:  # without a password OpenSSL would ask the terminal for one
            context.load_cert_chain(cert, key, password="")
    except OSError as error:
        raise click.UsageError(f"{name} cannot be used: {system_message(error)}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _overrides(given: tuple[arguments.Override, ...], plan: RolloutPlan) -> Addresses:
    asked = {(target.host, target.port) for target in plan.targets}
    found: dict[tuple[str, int], tuple[str, ...]] = {}
    for (host, port), addresses in given:
        if (host, port) not in asked:
            raise click.UsageError(f"--resolve {host}:{port} is no target's host and port")
        known = found.get((host, port), ())
        found[host, port] = tuple(dict.fromkeys(known + addresses))
    return found
