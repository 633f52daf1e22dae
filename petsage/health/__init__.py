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
    name: str = "PetSage",
    config: "Config | None" = None,
    scoreboard: "Scoreboard | None" = None,
) -> "Health":
    """Gives a Flask application the probes and the smoke test.

    `checks` join the dependencies that the configuration declares (default: `Config.load()`); each
    run has an application context of its own. `name` is what the smoke test's message calls the
    application. `scoreboard` is what the processes of an instance share (default: this process's).

    Raises `ValueError` if one is no `Check`, if two have the same name, if the application has a
    rule of its own for one of the paths, or if this is its second call, and
    `petsage.config.ConfigError` if the environment is wrong.
    """
    from petsage.health import views

    health = add_probes(app, [views.smoke_check, *checks], config, scoreboard, name)
    app.register_blueprint(views.v1, name="petsage_smoke_test")
    views.refuse_own_rules(app, "/api/v1/smoke-test")
    return health


def add_probes(
    app: "Flask",
    checks: "Iterable[Check]",
    config: "Config | None" = None,
    scoreboard: "Scoreboard | None" = None,
    name: str = "PetSage",
) -> "Health":
    """The same without the smoke test's view and check: `petsage.api` has them in its table."""
    # Imported here: a check can be written without loading Flask.
    from petsage.config import Config
    from petsage.health import service, views
    from petsage.health.monitor import Monitor
    from petsage.scoreboard import scoreboard as own_scoreboard

    if "petsage" in app.extensions:
        raise ValueError("init_app was called before on this application")
    config, scoreboard = config or Config.load(), scoreboard or own_scoreboard
    run = [views.in_context(app, check) for check in _checks(checks)]
    monitor = Monitor([*run, *config.checks], [service.drain(scoreboard)])
    identity = service.Identity(config.release, config.instance)
    health = service.Health(monitor, scoreboard, identity, one_line(name, 100))
    app.extensions["petsage"] = health
    app.register_blueprint(views.probes)
    views.refuse_own_rules(app, "/livez", "/readyz", "/startupz")
    return health


def _checks(given: "Iterable[Check]") -> "Iterable[Check]":
    for one in given:
        if not isinstance(one, Check):
            name = one_line(getattr(one, "__name__", "function"))
            raise ValueError(f'not a check but a {type(one).__name__}: write Check("name", {name})')  # noqa: TRY004
        yield one
