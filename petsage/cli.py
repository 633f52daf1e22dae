"""The `petsage` command. Exit codes: 2 for wrong usage, 70 for an error of its own, 78 for a
configuration that is wrong (sysexits.h); what else there is stands with each command."""

import logging
import sys
from typing import NoReturn

import click
from marshmallow import ValidationError

from petsage import FeatureError
from petsage import deploy as files
from petsage.builder import BuildError
from petsage.builder.command import feature
from petsage.checking import run as check
from petsage.checks import Check, Status, whereabouts
from petsage.config import Config, ConfigError, package_version
from petsage.dependencies.declaration import checks_from_urls
from petsage.rollout.command import seconds_or_0, smoke_test
from petsage.serving.start import ServeError, serve

EX_SOFTWARE = 70
EX_CONFIG = 78
INTERRUPTED = 130  # what a shell makes of SIGINT


class _Commands(click.Group):
    """Every error becomes a line on standard error and an exit code, here and nowhere else."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _stop(str(error), EX_CONFIG)
        except BuildError as error:
            _stop(str(error), 1)
        except (FeatureError, ServeError) as error:
            _stop(f"petsage: {error}", 1)
        except KeyboardInterrupt:
            _stop("petsage: interrupted", INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click tells these itself
        except Exception as error:
            _stop(f"petsage: an error of its own: {whereabouts(error)}", EX_SOFTWARE)


def _stop(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    raise click.exceptions.Exit(code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_version(), prog_name="petsage", message="%(prog)s %(version)s")
def main() -> None:
    """PetSage tells the truth about a running Python service."""


@main.command("serve")
@click.argument("application", metavar="[APP]", required=False)
def serve_command(application: str | None) -> None:
    """Serve PetSage, or any WSGI application APP (package.module:app), by gunicorn.

    Everything is set by PETSAGE_* variables.
    """
    serve(Config.load(), application)


@main.command("check")
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option(
    "--wait",
    "wait_seconds",
    type=seconds_or_0,
    default="0",
    metavar="SECONDS",
    help="Run the checks again until they hold; after so long, no more.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document for machines.")
def check_command(urls: tuple[str, ...], wait_seconds: float, as_json: bool) -> None:
    """Run the checks that PETSAGE_CHECKS declares, or those of the URLs given.

    Exits with 0 if they hold, with 1 if one that is critical fails. The machine's other users can
    read a URL given here in its list of processes; the variable they cannot read.
    """
    checks = _checks_of(urls) if urls else Config.load().checks
    if not checks:
        raise click.UsageError("There is nothing to check: give a URL, or set PETSAGE_CHECKS.")
    logging.getLogger("petsage").addHandler(logging.NullHandler())  # the result tells it all
    told = check.Progress(sys.stderr)
    report = check.run(checks, wait_seconds, told)
    told.clear()
    click.echo(check.as_json(report) if as_json else check.as_table(report), nl=False)
    if report.status is Status.FAIL:
        raise click.exceptions.Exit(1)


def _checks_of(urls: tuple[str, ...]) -> tuple[Check, ...]:
    try:
        return checks_from_urls(urls)
    except ValidationError as error:
        raise click.UsageError("\n".join(error.messages)) from None


main.add_command(feature)
main.add_command(smoke_test)


@main.group()
def deploy() -> None:
    """Print a file that deploys PetSage: each is tested as it stands."""


@deploy.command()
def nginx() -> None:
    """The nginx site in front of the main listener."""
    click.echo(files.text("nginx.conf"), nl=False)


@deploy.command()
@click.option("--image", required=True, help="What to run: [HOST[:PORT]/]PATH[:TAG][@DIGEST].")
@click.option("--release", required=True, help="What it is called, and proven to be.")
def kubernetes(image: str, release: str) -> None:
    """The Kubernetes manifests, and the Job that proves the rollout."""
    try:
        manifests = files.kubernetes(image, release)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(manifests, nl=False)


@deploy.command()
def systemd() -> None:
    """The systemd unit."""
    click.echo(files.text("petsage.service"), nl=False)


@deploy.command()
def container() -> None:
    """The Containerfile, to be built in the project's folder."""
    click.echo(files.text("Containerfile"), nl=False)


@deploy.command()
def prometheus() -> None:
    """A Prometheus configuration that scrapes the management listener."""
    click.echo(files.text("prometheus.yaml"), nl=False)


@deploy.command()
def alerts() -> None:
    """The rules by which Prometheus alerts."""
    click.echo(files.text("alerts.yaml"), nl=False)
