"""PetSage tells the truth about a running Python service."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from flask import Flask

    from petsage.checks import Check, CheckFailed, CheckWarns, Result, Status, Value
    from petsage.config import Config
    from petsage.errors import FeatureError

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


_NOT_FOUND = (
    "The management listener asks only the declared checks: no application on which"
    " petsage.health.init_app was called was found in this %s. If there is one, hand it over: make"
    " it the attribute `app` of what is served."
)

MAX_BODY_BYTES = 128 * 1024
"""A longer request body is a 413."""


# Nothing is imported before it is asked for: the command line starts in a fraction of the time,
# and hears an interruption from its first instruction on.


def __getattr__(name: str) -> object:
    """Imports an exported name when it is used first (PEP 562)."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "petsage.errors" if name == "FeatureError" else "petsage.checks"
    return getattr(import_module(home), name)


def create_app(config: "Config | None" = None) -> "Flask":
    """The application of the main listener: the v1 API, its docs, and probes without details.

    Raises `petsage.config.ConfigError` if no configuration is given and the environment is wrong,
    and `FeatureError` if a feature cannot be imported, or has the name of something else.
    """
    from flask import Flask
    from werkzeug.middleware.proxy_fix import ProxyFix

    from petsage import api
    from petsage.config import Config
    from petsage.health.views import add_probes

    config = config or Config.load()
    app = Flask(__name__, static_folder=None, template_folder="docs")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    if hops := config.proxies:
        # The application is a WSGI callable of its own, as Flask's manual has it.
        app.wsgi_app = ProxyFix(app.wsgi_app, hops, hops, hops)  # type: ignore[method-assign]
    features = api.discover(config.checks)
    add_probes(app, [feature.check for feature in features], config=config)
    api.init_app(app, features)
    return app


def create_management_app(
    config: "Config | WSGIApplication | None" = None, application: object = None
) -> "Flask":
    """The application of the management listener: probes with details.

    It asks the checks of `application`, which may also be the only argument: of the Flask
    application with PetSage's health that it is or wraps; or else those that the configuration
    declares. Raises `petsage.config.ConfigError` if no configuration is given and the environment
    is wrong.
    """
    from functools import partial

    from petsage import logs
    from petsage.clock import SystemClock
    from petsage.config import Config
    from petsage.health.monitor import Monitor
    from petsage.health.service import Health, Identity, drain
    from petsage.management import hosts, workers
    from petsage.management import views as management
    from petsage.printable import one_line
    from petsage.scoreboard import scoreboard

    if not isinstance(config, Config):
        config, application = Config.load(), config or application
    known = Health.of(application)
    if application is not None and known is None:
        logs.enabled("petsage").warning(_NOT_FOUND, one_line(type(application).__name__))
    checks = known.monitor.checks if known else config.checks
    asked = workers.Workers(
        partial(workers.listens, config.bind), scoreboard, SystemClock(), config.stuck_seconds
    )
    monitor = Monitor(checks, [drain(scoreboard), asked.condition()])
    identity = Identity(config.release, config.instance)
    app = management.create_app(Health(monitor, scoreboard, identity))
    if hosts.is_loopback(config.management_bind):
        hosts.refuse_names(app)
    return app
