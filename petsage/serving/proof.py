"""`petsage serve --test`: whether an application could be served, without serving it."""

import logging
import signal
from typing import Any

from gunicorn import util
from gunicorn.errors import AppImportError

from petsage import create_management_app
from petsage.checks import Status, whereabouts
from petsage.config import Config
from petsage.errors import PetSageError
from petsage.health.monitor import Monitor
from petsage.health.report import LIMITS, Limits
from petsage.serving.start import (
    OWN_APPLICATION,
    ServeError,
    find,
    refuse_environment,
    refuse_patched_threads,
)

TEST_SECONDS = 60
"""How long the test may take."""


def prove(config: Config, application: str | None) -> None:
    """Loads PetSage, or the application, as the workers would, and runs its startup checks once.

    The kernel ends the process after `TEST_SECONDS`, wherever it hangs. Raises `ServeError` if the
    application cannot be loaded or a check fails, and `FeatureError` as `petsage.create_app` does.
    """
    signal.alarm(TEST_SECONDS)
    refuse_environment()
    logging.getLogger("petsage").addHandler(logging.NullHandler())  # the outcome says it all
    management = create_management_app(config, _loaded(application))
    refuse_patched_threads()  # the application may have patched them while it was loaded
    checks = management.extensions["petsage"].monitor.checks
    asked = [check for check in checks if "startup" in check.probes]
    slowest = max((check.timeout_seconds for check in asked), default=0.0)
    report = Monitor(asked, limits={**LIMITS, "startup": Limits(slowest)}).report("startup")
    failed = [result for result in report.results if result.status is Status.FAIL]
    if failed:
        raise ServeError(*(f"startup check {one.name!r} failed: {one.reason}" for one in failed))


def _loaded(application: str | None) -> Any:
    try:
        if application:
            find(application)
        return util.import_app(application or OWN_APPLICATION)
    except PetSageError:
        raise
    except (AppImportError, ImportError, SyntaxError) as error:  # these say where
        raise ServeError(f"{application!r}: {error}") from error
    except (Exception, SystemExit) as error:
        raise ServeError(f"{application!r} raised {whereabouts(error)}") from error
