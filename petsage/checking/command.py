"""`petsage check`."""

import logging
import sys
from contextlib import redirect_stdout

import click
from marshmallow import ValidationError

from petsage.applications import ApplicationError, load
from petsage.checking import output
from petsage.checks import Check, Status
from petsage.config import Config
from petsage.dependencies.declaration import checks_from_urls
from petsage.errors import CheckError
from petsage.health.report import Report
from petsage.health.run import run_checks
from petsage.health.service import Health
from petsage.options import seconds_or_0


@click.command("check")
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option(
    "--wait",
    "wait_seconds",
    type=seconds_or_0,
    default="0",
    metavar="SECONDS",
    help="Run the checks again until they hold, but no longer than this.",
)
@click.option("--app", "application", metavar="APP", help="Run this application's own checks.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    urls: tuple[str, ...], application: str | None, wait_seconds: float, as_json: bool
) -> None:
    """Run checks once, or until they hold.

    Runs the checks of the URLs; without any, those that PETSAGE_CHECKS declares; with --app, those
    of the application package.module:app or package:create_app(). Exits with 0 if they hold, with 1
    if a critical one fails, with 78 if the application cannot be loaded. Other users of the machine
    can read a URL given here in the list of processes, but not the variable.

    \b
    Example:
      petsage check --wait 60 tcp://localhost:5432
    """
    if urls and application:
        raise click.UsageError("Give URLs or --app, not both.")
    checks = _checks_of_application(application) if application else _checks_of(urls)
    if not checks:
        raise click.UsageError("There is nothing to check: give a URL, or set PETSAGE_CHECKS.")
    logging.getLogger("petsage").addHandler(logging.NullHandler())  # the result says it all
    try:
        report = run_checks(checks, wait_seconds, _progress)
    finally:
        output.show_progress("")
    click.echo(output.as_json(report) if as_json else output.as_table(report), nl=False)
    if report.status is Status.FAIL:
        raise click.exceptions.Exit(1)


def _progress(report: Report, left: float) -> None:
    output.show_progress(f"waiting {left:.0f} s for {', '.join(report.failed)}")


def _checks_of_application(name: str) -> tuple[Check, ...]:
    with redirect_stdout(sys.stderr):  # standard output is for the result
        try:
            health = Health.of(load(name))
        except ApplicationError as error:
            raise CheckError(*error.problems) from error
    if health is None:
        raise CheckError(f"{name!r}: petsage.health.init_app was not called on it")
    return health.monitor.checks


def _checks_of(urls: tuple[str, ...]) -> tuple[Check, ...]:
    if not urls:
        return Config.load().checks
    try:
        return checks_from_urls(urls)
    except ValidationError as error:
        raise click.UsageError("\n".join(error.messages)) from None
