"""The command `petsage deploy`: each of its commands prints a file."""

import re
from functools import partial
from typing import Any

import click

from petsage import deploy
from petsage.deploy.cluster import FORMS, filled


@click.group("deploy")
def command() -> None:
    """Print a file that deploys PetSage.

    Each file is tested as it is printed.

    \b
    Example:
      petsage deploy nginx > /etc/nginx/conf.d/petsage.conf
    """


@command.command()
@click.option("--socket", "unit", flag_value="socket", help="Print petsage.socket.")
@click.option("--instances", "unit", flag_value="instances", help="Print petsage@.service.")
def systemd(unit: str | None) -> None:
    """Print the systemd unit.

    With --socket it prints the socket unit instead, in whose queues clients wait during a restart;
    with --instances the template unit, for several instances on one machine.

    \b
    Example:
      petsage deploy systemd > /etc/systemd/system/petsage.service
      petsage deploy systemd --socket > /etc/systemd/system/petsage.socket
    """
    file = "petsage.socket" if unit == "socket" else "petsage.service"
    alone, instance = (None, "") if unit == "instances" else ("", None)
    _print(file, alone=alone, instance=instance)


def _formed(form: str, _ctx: object, _param: object, value: str | None) -> str | None:
    pattern, words = FORMS[form]
    if value is not None and not re.fullmatch(pattern, value, re.ASCII):
        raise click.BadParameter(f"{value!r} {words}")
    return value


def _replicas(text: str) -> tuple[int, int]:
    """Reads the least and the greatest number of pods."""
    match = re.fullmatch(r"([0-9]{1,4})(?::([0-9]{1,4}))?", text)
    least, most = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= least <= most:
        raise click.BadParameter(
            f"{text!r} is not MIN or MIN:MAX, from 1 to 9999, the larger one last"
        )
    return least, most


def _option(name: str, words: str, form: str = "", **more: Any) -> click.Option:
    """An option whose value has the form that `FORMS` has for `form`, by default for its name."""
    form = form or name
    more |= {"callback": partial(_formed, form), "metavar": form.upper(), "show_default": True}
    return click.Option([f"--{name}"], help=words, **more)


_PLACE = (
    _option("name", "The name of every object.", default="petsage"),
    _option("namespace", "The namespace of every object. By default kubectl's own."),
)
_CLUSTER = (
    _option("image", "The image to run: [HOST[:PORT]/]PATH[:TAG][@DIGEST].", required=True),
    _option("release", "The release that the image was built with.", required=True),
    *_PLACE,
    click.Option(
        ["--replicas"],
        type=_replicas,
        default="3:10",
        show_default=True,
        metavar="MIN[:MAX]",
        help="How many pods the autoscaler runs. The smoke test waits for MIN of them.",
    ),
    _option("app", "Serve this application: package.module:app or package:create_app()."),
    _option(
        "monitoring-namespace",
        "The one namespace that may reach the management port: where Prometheus runs.",
        "namespace",
        default="monitoring",
    ),
)
_IMAGE = "--image registry.example/pets:1.0.0 --release 1.0.0"
_APPLY = "--name pets | kubectl apply --filename -"

FILES: tuple[tuple[str, str, str, str, tuple[click.Option, ...]], ...] = (
    ("nginx", "nginx.conf", "nginx site in front of the main listener", "> petsage.conf", ()),
    ("container", "Containerfile", "Containerfile, for a checkout", "> Containerfile", ()),
    ("prometheus", "prometheus.yaml", "Prometheus configuration", "> prometheus.yml", ()),
    ("alerts", "alerts.yaml", "alerting rules for Prometheus", "> alerts.yaml", ()),
    ("kubernetes", "kubernetes.yaml", "Kubernetes manifests, with a smoke test", _IMAGE, _CLUSTER),
    ("podmonitor", "podmonitor.yaml", "PodMonitor for Prometheus's operator", _APPLY, _PLACE),
)
"""The other commands: name, file, what the file is, the example's end, options."""


def _print(file: str, **values: Any) -> None:
    if replicas := values.pop("replicas", None):
        values["least"], values["most"] = replicas
    click.echo(filled(file, values) if values else deploy.text(file), nl=False)


for _name, _file, _what, _example, _options in FILES:
    _help = f"Print the {_what}.\n\n\b\nExample:\n  petsage deploy {_name} {_example}"
    _callback = partial(_print, _file)
    command.add_command(click.Command(_name, callback=_callback, params=[*_options], help=_help))
