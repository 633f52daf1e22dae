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


MAX_BODY_BYTES = 128 * 1024
"""A longer request body is a 413."""


# Each function imports what it needs: the command line starts in a fraction of the time, and
# `petsage.__main__` handles signals before the imports.


def __getattr__(name: str) -> object:
    """Imports an exported name on its first use (PEP 562)."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "petsage.errors" if name == "FeatureError" else "petsage.checks"
    return getattr(import_module(module), name)


def create_app(config: "Config | None" = None) -> "Flask":
    """The application of the main listener: the v1 API, its docs, and probes without details.

    Raises `petsage.config.ConfigError` if no configuration is given and the environment is wrong,
    and `FeatureError` if a feature cannot be imported, or has a name that is taken.
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
        # As Flask's manual does it: "Tell Flask it is Behind a Proxy".
        app.wsgi_app = ProxyFix(app.wsgi_app, hops, hops, hops)  # type: ignore[method-assign]
    features = api.discover(config.checks)
    add_probes(app, [feature.check for feature in features], config=config)
    api.init_app(app, features)
    return app


def create_management_app(
    config: "Config | WSGIApplication | None" = None, application: object = None
) -> "Flask":
    """The application of the management listener: probes with details.

    Its checks are those of `application`, if this is or wraps a Flask application with PetSage's
    health; if not, those that the configuration declares. A single argument may be either one.
    Raises `petsage.config.ConfigError` if no configuration is given and the environment is wrong.
    """
    from petsage.config import Config
    from petsage.management.application import create

    if not isinstance(config, Config):
        config, application = Config.load(), config or application
    return create(config, application)
