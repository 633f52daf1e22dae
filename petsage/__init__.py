"""PetSage tells the truth about a running Python service."""

from functools import partial
from typing import TYPE_CHECKING

from petsage.checks import Check, CheckFailed, CheckWarns, Result, Status, Value
from petsage.errors import FeatureError

if TYPE_CHECKING:
    from flask import Flask

    from petsage.config import Config

__all__ = [
    "Check",
    "CheckFailed",
    "CheckWarns",
    "FeatureError",
    "Result",
    "Status",
    "Value",
    "create_app",
    "create_management_app",
]


MAX_BODY_BYTES = 128 * 1024
"""A longer request body is a 413."""


# The two factories import what they need when they are called: the command line, which knows
# neither, starts in a fraction of the time.


def create_app(config: "Config | None" = None) -> "Flask":
    """The application of the main listener: the v1 API, its docs, and probes without details.

    Raises `petsage.config.ConfigError` if no configuration is given and the environment is wrong,
    and `FeatureError` if a feature cannot be imported, or has the name of something else.
    """
    from flask import Flask
    from werkzeug.middleware.proxy_fix import ProxyFix

    from petsage import api, health
    from petsage.config import Config

    config = config or Config.load()
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    if hops := config.proxies:
        # The application is a WSGI callable of its own, as Flask's manual has it.
        app.wsgi_app = ProxyFix(app.wsgi_app, hops, hops, hops)  # type: ignore[method-assign]
    features = api.discover(config.checks)
    health.add_probes(app, [feature.check for feature in features], config)
    api.init_app(app, features)
    return app


def create_management_app(config: "Config | None" = None, application: object = None) -> "Flask":
    """The application of the management listener: probes with details.

    It asks the checks of `application`, if that is a Flask application with PetSage's health, or
    else those that the configuration declares. Raises `petsage.config.ConfigError` if no
    configuration is given and the environment is wrong.
    """
    from flask import Flask

    from petsage.clock import SystemClock
    from petsage.config import Config
    from petsage.health.monitor import Monitor
    from petsage.health.service import Health, Identity, drain
    from petsage.management import views as management
    from petsage.management import workers
    from petsage.scoreboard import scoreboard

    config = config or Config.load()
    known = application.extensions.get("petsage") if isinstance(application, Flask) else None
    checks = known.monitor.checks if isinstance(known, Health) else config.checks
    asked = workers.Workers(
        partial(workers.ask, config.bind), scoreboard, SystemClock(), config.stuck_seconds
    )
    monitor = Monitor(checks, [drain(scoreboard), asked.condition()])
    identity = Identity(config.release, config.instance)
    return management.create_app(Health(monitor, scoreboard, identity))
