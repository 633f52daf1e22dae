"""The command `petsage deploy`: each of its commands prints a file."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import click

from petsage import deploy
from petsage.deploy import cluster

FILES = (
    (
        "nginx",
        "nginx.conf",
        "Print the nginx site in front of the main listener.",
        "petsage deploy nginx > /etc/nginx/conf.d/petsage.conf",
    ),
    (
        "container",
        "Containerfile",
        "Print the Containerfile, to be built in a checkout.",
        "petsage deploy container > Containerfile",
    ),
    (
        "prometheus",
        "prometheus.yaml",
        "Print a Prometheus configuration that scrapes PetSage.",
        "petsage deploy prometheus > /etc/prometheus/prometheus.yml",
    ),
    (
        "alerts",
        "alerts.yaml",
        "Print the alerting rules for Prometheus.",
        "petsage deploy alerts > /etc/prometheus/alerts.yaml",
    ),
)
"""The commands without options: name, file, help, an example."""


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


for _command, _file, _help, _example in FILES:
    command.add_command(
        click.Command(
            _command,
            callback=partial(_print, _file),
            help=f"{_help}\n\n\b\nExample:\n  {_example}",
        )
    )


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


def _checked(check: Callable[[str], Any]) -> Callable[[str], Any]:
    """An option's type, which shows the user the words of the check."""

    @wraps(check)
    def convert(text: str) -> Any:
        try:
            return check(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert


_name = click.option(
    "--name",
    type=_checked(cluster.name),
    default="petsage",
    show_default=True,
    help="The name of every object.",
)
_namespace = click.option(
    "--namespace",
    type=_checked(cluster.namespace),
    help="The namespace of every object. By default it is the one that kubectl applies them in.",
)


@command.command()
@click.option(
    "--image",
    type=_checked(cluster.image),
    required=True,
    help="The image to run: [HOST[:PORT]/]PATH[:TAG][@DIGEST].",
)
@click.option(
    "--release",
    type=_checked(cluster.release),
    required=True,
    help="The release that the image holds: the value of a label.",
)
@_name
@_namespace
@click.option(
    "--replicas",
    type=_checked(cluster.replicas),
    default="3:10",
    show_default=True,
    metavar="MIN[:MAX]",
    help="How many pods the autoscaler runs. The smoke test waits for MIN of them.",
)
@click.option(
    "--app", type=_checked(cluster.application), help="Serve this application: package.module:app."
)
@click.option(
    "--monitoring-namespace",
    "monitoring",
    type=_checked(cluster.namespace),
    default="monitoring",
    show_default=True,
    help="The one namespace that may reach the management port: where Prometheus runs.",
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
    place = cluster.Cluster(name=name, namespace=namespace)
    click.echo(place.print("kubernetes.yaml", least=least, most=most, **more), nl=False)


@command.command()
@_name
@_namespace
def podmonitor(name: str, namespace: str | None) -> None:
    """Print a PodMonitor, by which the Prometheus operator scrapes every pod.

    \b
    Example:
      petsage deploy podmonitor --name pets | kubectl apply --filename -
    """
    place = cluster.Cluster(name=name, namespace=namespace)
    click.echo(place.print("podmonitor.yaml"), nl=False)
