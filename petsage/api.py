"""The v1 API's table of contents: every feature, the OpenAPI document, the interactive docs."""

import importlib
import pkgutil
from dataclasses import dataclass

import flask_smorest
from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider
from flask_swagger_ui import get_swaggerui_blueprint
from werkzeug.exceptions import HTTPException

from petsage import features
from petsage.errors import error_response
from petsage.health.checks import Check

OPENAPI_URL = "/api/v1/openapi.json"

_SPEC = {
    "title": "PetSage",
    "version": "v1",
    "openapi_version": "3.1.0",
    "info": {"description": "The truth about a running Python service."},
}
# No other host: by default the page asks validator.swagger.io about this document, and has a bar
# that loads a document from anywhere.
_DOCS = {"app_name": "PetSage", "validatorUrl": None, "layout": "BaseLayout"}


class FeatureError(Exception):
    """A feature cannot be imported; the message has its name."""


@dataclass(frozen=True, slots=True)
class Feature:
    """What a feature's folder brings: its `__init__.py` has these two names."""

    blueprint: flask_smorest.Blueprint
    check: Check


class _Json(DefaultJSONProvider):
    sort_keys = False  # the order of a schema is the order of its answer


class _Api(flask_smorest.Api):
    def handle_http_exception(self, error: HTTPException) -> HTTPException | Response:
        return error_response(error)


def init_app(app: Flask) -> flask_smorest.Api:
    """Gives the application the v1 API's OpenAPI 3.1 document and its docs."""
    app.config["OPENAPI_URL_PREFIX"], _, app.config["OPENAPI_JSON_PATH"] = OPENAPI_URL.rpartition(
        "/"
    )
    docs = get_swaggerui_blueprint("/docs", OPENAPI_URL, _DOCS)
    app.register_blueprint(docs)
    app.add_url_rule("/docs", "docs", app.view_functions[f"{docs.name}.show"])
    app.json = _Json(app)
    documented = _Api(app, spec_kwargs=_SPEC)
    documented.register_field(features.ExactDecimal, "string", "decimal")
    return documented


def discover() -> tuple[Feature, ...]:
    """Every feature there is: a feature is a folder in `petsage/features`.

    Raises `FeatureError` if one of them cannot be imported.
    """
    return tuple(_load(found.name) for found in pkgutil.iter_modules(features.__path__))


def _load(name: str) -> Feature:
    try:
        module = importlib.import_module(f"{features.__name__}.{name}")
        return Feature(module.blueprint, module.check)
    except Exception as error:
        raise FeatureError(f"feature {name!r} cannot be imported: {error}") from error
