"""Health of a Flask application: checks, probes and the smoke test."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from petsage.health.checks import SMOKE_TEST, Check, CheckFailed, Result, Status

if TYPE_CHECKING:
    from flask import Flask
    from flask_smorest import Api

    from petsage.board import Board
    from petsage.config import Config
    from petsage.health.service import Health

__all__ = ["Check", "CheckFailed", "Result", "Status", "init_app"]


def init_app(
    app: "Flask",
    checks: "Iterable[Check]" = (),
    *,
    config: "Config | None" = None,
    api: "Api | None" = None,
    board: "Board | None" = None,
) -> "Health":
    """Gives a Flask application the probes and the smoke test.

    `checks` join the dependencies that the configuration declares (default: `Config.load()`).
    With `api`, a flask-smorest API, the smoke test is documented there. `board` is what the
    processes of an instance share (default: this process's).

    Raises `ValueError` if two checks have the same name, `petsage.config.ConfigError` if the
    environment is wrong.
    """
    # Imported here: the configuration knows checks, and needs no Flask for that.
    from petsage.board import board as own_board
    from petsage.config import Config
    from petsage.health import schemas, service, views
    from petsage.health.monitor import Monitor

    config = config or Config.load()
    board = board or own_board
    own = Check(SMOKE_TEST, schemas.contract_holds, frozenset({"smoke"}))
    monitor = Monitor([own, *checks, *config.checks], [service.drain(board)])
    health = service.Health(monitor, board, config)
    app.extensions["petsage"] = health
    (api or app).register_blueprint(views.v1)
    app.register_blueprint(views.probes)
    return health
