"""`petsage serve --test`: whether an application could be served, without serving it."""

import logging
import signal

from petsage import create_management_app
from petsage.applications import find, in_one_line
from petsage.checks import Status
from petsage.config import Config
from petsage.health.monitor import Monitor
from petsage.health.report import LIMITS, Limits
from petsage.serving.loading import ServeError, loaded
from petsage.serving.start import refuse_environment

TEST_SECONDS = 60
"""How long the test may take."""


def prove(config: Config, application: str) -> None:
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
    startup = [check for check in checks if "startup" in check.probes]
    slowest = max((check.timeout_seconds for check in startup), default=0.0)
    report = Monitor(startup, limits={**LIMITS, "startup": Limits(slowest)}).report("startup")
    failed = [result for result in report.results if result.status is Status.FAIL]
    if failed:
        raise ServeError(*(f"startup check {r.name!r} failed: {r.reason}" for r in failed))
