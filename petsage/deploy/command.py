"""The command `petsage deploy`: each of its commands prints a file."""

from functools import partial

import click

from petsage import deploy

FILES = (
    (
        "nginx",
        "nginx.conf",
        "Print the nginx site in front of the main listener.",
        "petsage deploy nginx > /etc/nginx/conf.d/petsage.conf",
    ),
    (
        "systemd",
        "petsage.service",
        "Print the systemd unit.",
        "petsage deploy systemd > /etc/systemd/system/petsage.service",
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


for _name, _file, _help, _example in FILES:
    command.add_command(
        click.Command(
            _name,
            callback=partial(_print, _file),
            help=f"{_help}\n\n\b\nExample:\n  {_example}",
        )
    )


@command.command()
@click.option("--image", required=True, help="The image to run: [HOST[:PORT]/]PATH[:TAG][@DIGEST].")
@click.option("--release", required=True, help="The release that the image holds.")
def kubernetes(image: str, release: str) -> None:
    """Print the Kubernetes manifests, and the Job that proves the rollout.

    \b
    Example:
      petsage deploy kubernetes --image registry.example/petsage:1.0.0 --release 1.0.0
    """
    try:
        manifests = deploy.kubernetes(image, release)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(manifests, nl=False)
