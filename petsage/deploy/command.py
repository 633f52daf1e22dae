"""`petsage deploy`."""

import click

from petsage import deploy as files


@click.group("deploy")
def command() -> None:
    """Print a file that deploys PetSage: each is tested as it stands."""


@command.command()
def nginx() -> None:
    """The nginx site in front of the main listener."""
    click.echo(files.text("nginx.conf"), nl=False)


@command.command()
@click.option("--image", required=True, help="What to run: [HOST[:PORT]/]PATH[:TAG][@DIGEST].")
@click.option("--release", required=True, help="What it is called, and proven to be.")
def kubernetes(image: str, release: str) -> None:
    """The Kubernetes manifests, and the Job that proves the rollout."""
    try:
        manifests = files.kubernetes(image, release)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(manifests, nl=False)


@command.command()
def systemd() -> None:
    """The systemd unit."""
    click.echo(files.text("petsage.service"), nl=False)


@command.command()
def container() -> None:
    """The Containerfile, to be built in the project's folder."""
    click.echo(files.text("Containerfile"), nl=False)


@command.command()
def prometheus() -> None:
    """A Prometheus configuration that scrapes the management listener."""
    click.echo(files.text("prometheus.yaml"), nl=False)


@command.command()
def alerts() -> None:
    """The rules by which Prometheus alerts."""
    click.echo(files.text("alerts.yaml"), nl=False)
