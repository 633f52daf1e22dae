"""Health of a Flask application: checks, probes and the smoke test."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from petsage.checks import Check, CheckFailed, CheckWarns, Result, Status, Value
from petsage.smoke_test import PATH

if TYPE_CHECKING:
    from flask import Flask

    from petsage.config import Config
    from petsage.health.service import Health
    from petsage.scoreboard import Scoreboard

__all__ = ["Check", "CheckFailed", "CheckWarns", "Result", "Status", "Value", "init_app"]


def init_app(
    app: "Flask",
    checks: "Iterable[Check]" = (),
    *,
    name: str = "PetSage",
    config: "Config | None" = None,
    scoreboard: "Scoreboard | None" = None,
) -> "Health":
    """Gives a Flask application the probes and the smoke test.

    `checks` join the dependencies that the configuration declares (default: `Config.load()`); each
    run has an application context of its own. `name` is what the smoke test's message calls the
    application. `scoreboard` is what the processes of an instance share (default: this process's).

    Raises `petsage.errors.CheckError`, a `ValueError`, if one is no `Check`, if two have the same
    name, if the application has a rule of its own for one of the paths, or if this is its second
    call, and `petsage.config.ConfigError` if the environment is wrong.
    """
    from petsage.health import views  # here: a check can be written without loading Flask

    checks = [views.smoke_check, *checks]
    health = views.add_probes(app, checks, name=name, config=config, scoreboard=scoreboard)
    app.register_blueprint(views.v1, name="petsage_smoke_test")
    views.refuse_own_rules(app, PATH)
    return health
