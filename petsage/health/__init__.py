"""Health of a Flask application: checks, probes and the smoke test."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from petsage.checks import Check, CheckFailed, Result, Status

if TYPE_CHECKING:
    from flask import Flask

    from petsage.config import Config
    from petsage.health.service import Health
    from petsage.scoreboard import Scoreboard

__all__ = ["Check", "CheckFailed", "Result", "Status", "init_app"]


def init_app(
    app: "Flask",
    checks: "Iterable[Check]" = (),
    *,
    config: "Config | None" = None,
    scoreboard: "Scoreboard | None" = None,
) -> "Health":
    """Gives a Flask application the probes and the smoke test.

    `checks` join the dependencies that the configuration declares (default: `Config.load()`).
    `scoreboard` is what the processes of an instance share (default: this process's).

    Raises `ValueError` if two checks have the same name, `petsage.config.ConfigError` if the
    environment is wrong.
    """
    from petsage.health import views

    health = add_probes(app, [views.smoke_check, *checks], config, scoreboard)
    app.register_blueprint(views.v1)
    return health


def add_probes(
    app: "Flask",
    checks: "Iterable[Check]",
    config: "Config | None" = None,
    scoreboard: "Scoreboard | None" = None,
) -> "Health":
    """The same without the smoke test's view and check: `petsage.api` has them in its table."""
    # Imported here: a check can be written without loading Flask.
    from petsage.config import Config
    from petsage.health import service, views
    from petsage.health.monitor import Monitor
    from petsage.scoreboard import scoreboard as own_scoreboard

    config = config or Config.load()
    scoreboard = scoreboard or own_scoreboard
    monitor = Monitor([*checks, *config.checks], [service.drain(scoreboard)])
    health = service.Health(monitor, scoreboard, config)
    app.extensions["petsage"] = health
    app.register_blueprint(views.probes)
    return health
