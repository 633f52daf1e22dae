"""What every command that asks targets has: its options, and what they make."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from petsage.client import Client
from petsage.options import seconds
from petsage.rollout import arguments
from petsage.rollout.asking import Known, Resolve, RolloutPlan
from petsage.rollout.names import Addresses, Names
from petsage.rollout.output import err
from petsage.rollout.verdict import system_message

_F = TypeVar("_F", bound=Callable[..., Any])

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
    click.option("--header", "headers", type=arguments.header, multiple=True, help="'Name: value'"),
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
        headers: tuple[tuple[str, str], ...],
        overrides: tuple[arguments.Override, ...],
        **given: Any,
    ) -> "Terms":
        """Of the values of the options. Raises `click.UsageError` for what excludes each other."""
        trust = {name: given.pop(name) for name in ("cacert", "cert", "key", "insecure")}
        plan = RolloutPlan(**{name: value for name, value in given.items() if value is not None})
        client = Client(headers, _tls(plan, **trust))
        if trust["insecure"]:
            err("WARNING: --insecure: no certificate is checked, anybody may be answering\n")
        names = Names(_overrides(overrides, plan))
        return cls(plan, client, names.resolve, names.known)


def options(command: _F) -> _F:
    """Gives a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


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
