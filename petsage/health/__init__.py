"""Health of a Flask application: checks, probes and the smoke test."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from petsage.checks import Check, CheckFailed, CheckWarns, Result, Status, Value
from petsage.printable import one_line

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
    config: "Config | None" = None,
    scoreboard: "Scoreboard | None" = None,
) -> "Health":
    """Gives a Flask application the probes and the smoke test.

    `checks` join the dependencies that the configuration declares (default: `Config.load()`).
    `scoreboard` is what the processes of an instance share (default: this process's).

    Raises `ValueError` if one is no `Check`, or if two have the same name, and
    `petsage.config.ConfigError` if the environment is wrong.
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
    checks = tuple(checks)
    for one in checks:
        if not isinstance(one, Check):
            name = one_line(getattr(one, "__name__", "function"))
            raise ValueError(f'not a check but a {type(one).__name__}: write Check("name", {name})')  # noqa: TRY004
    monitor = Monitor([*checks, *config.checks], [service.drain(scoreboard)])
    health = service.Health(monitor, scoreboard, service.Identity(config.release, config.instance))
    app.extensions["petsage"] = health
    app.register_blueprint(views.probes)
    return health
