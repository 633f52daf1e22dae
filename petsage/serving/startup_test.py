"""`petsage serve --test`: whether an application could be served, without serving it."""

import logging
import signal

from petsage import create_management_app
from petsage.applications import find, in_one_line
from petsage.config import Config
from petsage.health.run import run_checks
from petsage.serving.loading import ServeError, loaded
from petsage.serving.start import refuse_environment

TEST_SECONDS = 60
"""How long the test may take."""


def run_startup_test(config: Config, application: str) -> None:
    """Loads PetSage, or the application, as the workers would, and runs its startup checks once.

    The kernel ends the process after `TEST_SECONDS`, wherever it hangs. Raises `ApplicationError`
    if the application cannot be loaded, `ServeError` if it cannot be served or a check fails, and
    `FeatureError` as `petsage.create_app` does.
    """
    signal.alarm(TEST_SECONDS)
    refuse_environment()
    logging.getLogger("petsage").addHandler(logging.NullHandler())  # the result says it all
    find(application)
    with in_one_line(application):
        management = create_management_app(config, loaded(application))
    checks = management.extensions["petsage"].monitor.checks
    report = run_checks([check for check in checks if "startup" in check.probes])
    if report.failures:
        raise ServeError(*(f"startup check {r.name!r} failed: {r.reason}" for r in report.failures))
