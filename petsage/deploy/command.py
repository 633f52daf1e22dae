"""The command `petsage deploy`: each of its commands prints a file."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from petsage import deploy
from petsage.deploy.cluster import FORMS, Cluster

FILES = (
    ("nginx", "nginx.conf", "Print the nginx site in front of the main listener."),
    ("container", "Containerfile", "Print the Containerfile, to be built in a checkout."),
    ("prometheus", "prometheus.yaml", "Print a Prometheus configuration that scrapes PetSage."),
    ("alerts", "alerts.yaml", "Print the alerting rules for Prometheus."),
)
"""The commands without options: name, file, help."""


@click.group("deploy")
def command() -> None:
    """Print a file that deploys PetSage.

    Each file is tested as it is printed.

    \b
    Example:
      petsage deploy nginx > /etc/nginx/conf.d/petsage.conf
    """


def _print(file: str) -> None:
    click.echo(deploy.text(file), nl=False)


for _name, _file, _help in FILES:
    _text = f"{_help}\n\n\b\nExample:\n  petsage deploy {_name} > {_file}"
    command.add_command(click.Command(_name, callback=partial(_print, _file), help=_text))


@command.command()
@click.option("--socket", "file", flag_value="petsage.socket", help="Print petsage.socket.")
@click.option("--instances", "file", flag_value="petsage@.service", help="Print petsage@.service.")
def systemd(file: str | None) -> None:
    """Print the systemd unit.

    With --socket it prints the unit of its sockets, in whose queues clients wait during a restart;
    with --instances the unit of several instances on one machine.

    \b
    Example:
      petsage deploy systemd > /etc/systemd/system/petsage.service
      petsage deploy systemd --socket > /etc/systemd/system/petsage.socket
    """
    _print(file or "petsage.service")


def _formed(form: str, _ctx: object, _param: object, value: str | None) -> str | None:
    pattern, words = FORMS[form]
    if value is not None and not re.fullmatch(pattern, value, re.ASCII):
        raise click.BadParameter(f"{value!r} {words}")
    return value


def _replicas(text: str) -> tuple[int, int]:
    """How many pods there are at least and at most."""
    found = re.fullmatch(r"([0-9]{1,4})(?::([0-9]{1,4}))?", text)
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= least <= most:
        raise click.BadParameter(
            f"{text!r} is not MIN or MIN:MAX, from 1 to 9999, the larger one last"
        )
    return least, most


def _option(name: str, words: str, form: str = "", **more: Any) -> Callable[..., Any]:
    """An option whose value has the form of its own name, or of another."""
    form = form or name
    more |= {"callback": partial(_formed, form), "metavar": form.upper()}
    return click.option(f"--{name}", help=words, show_default=True, **more)


_place = (
    _option("name", "The name of every object.", default="petsage"),
    _option("namespace", "The namespace of every object. By default kubectl's own."),
)


@command.command()
@_option("image", "The image to run: [HOST[:PORT]/]PATH[:TAG][@DIGEST].", required=True)
@_option("release", "The release that the image holds: the value of a label.", required=True)
@_place[0]
@_place[1]
@click.option(
    "--replicas",
    type=_replicas,
    default="3:10",
    show_default=True,
    metavar="MIN[:MAX]",
    help="How many pods the autoscaler runs. The smoke test waits for MIN of them.",
)
@_option("app", "Serve this application: package.module:app.")
@_option(
    "monitoring-namespace",
    "The one namespace that may reach the management port: where Prometheus runs.",
    "namespace",
    default="monitoring",
)
def kubernetes(
    name: str, namespace: str | None, replicas: tuple[int, int], **more: str | None
) -> None:
    """Print the Kubernetes manifests, and the Job that proves the rollout.

    \b
    Example:
      petsage deploy kubernetes --image registry.example/pets:1.0.0 --release 1.0.0
    """
    least, most = replicas
    cluster = Cluster(name=name, namespace=namespace)
    click.echo(cluster.print("kubernetes.yaml", least=least, most=most, **more), nl=False)


@command.command()
@_place[0]
@_place[1]
def podmonitor(name: str, namespace: str | None) -> None:
    """Print a PodMonitor, by which the Prometheus operator scrapes every pod.

    \b
    Example:
      petsage deploy podmonitor --name pets | kubectl apply --filename -
    """
    click.echo(Cluster(name=name, namespace=namespace).print("podmonitor.yaml"), nl=False)
