"""Health of a Flask application: checks, probes and the smoke test."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from petsage.checks import SMOKE_TEST, Check, CheckFailed, Result, Status

if TYPE_CHECKING:
    from flask import Flask
    from flask_smorest import Api

    from petsage.config import Config
    from petsage.health.service import Health
    from petsage.scoreboard import Scoreboard

__all__ = ["Check", "CheckFailed", "Result", "Status", "init_app"]


def init_app(
    app: "Flask",
    checks: "Iterable[Check]" = (),
    *,
    config: "Config | None" = None,
    api: "Api | None" = None,
    scoreboard: "Scoreboard | None" = None,
) -> "Health":
    """Gives a Flask application the probes and the smoke test.

    `checks` join the dependencies that the configuration declares (default: `Config.load()`).
    With `api`, a flask-smorest API, the smoke test is documented there. `scoreboard` is what the
    processes of an instance share (default: this process's).

    Raises `ValueError` if two checks have the same name, `petsage.config.ConfigError` if the
    environment is wrong.
    """
    # Imported here: the configuration knows checks, and needs no Flask for that.
    from petsage.config import Config
    from petsage.health import schemas, service, views
    from petsage.health.monitor import Monitor
    from petsage.scoreboard import scoreboard as own_scoreboard

    config = config or Config.load()
    scoreboard = scoreboard or own_scoreboard
    own = Check(SMOKE_TEST, schemas.contract_holds, frozenset({"smoke"}))
    monitor = Monitor([own, *checks, *config.checks], [service.drain(scoreboard)])
    health = service.Health(monitor, scoreboard, config)
    app.extensions["petsage"] = health
    (api or app).register_blueprint(views.v1)
    app.register_blueprint(views.probes)
    return health
