"""The v1 API's table of contents: every feature, the OpenAPI document, the interactive docs."""

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass

import flask_smorest
from flask import Flask, Response
from flask_smorest import error_handler
from flask_swagger_ui import get_swaggerui_blueprint
from marshmallow import fields
from werkzeug.exceptions import HTTPException

from petsage import features
from petsage.checks import Check
from petsage.errors import FeatureError
from petsage.health import views
from petsage.http_errors import error_response
from petsage.smoke_test import SMOKE_TEST
from petsage.tracebacks import whereabouts

OPENAPI_URL = "/api/v1/openapi.json"

_SPEC = {
    "title": "PetSage",
    "version": "v1",
    "openapi_version": "3.1.0",
    "info": {"description": "The truth about a running Python service."},
}
# By default the page sends this document to validator.swagger.io, and has a bar that loads a
# document from any host.
_DOCS = {"app_name": "PetSage", "validatorUrl": None, "layout": "BaseLayout"}


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature; the `__init__.py` of its folder has the `blueprint` and the `check`."""

    name: str
    blueprint: flask_smorest.Blueprint
    check: Check


SMOKE_TEST_FEATURE = Feature(SMOKE_TEST, views.v1, views.smoke_check)
"""PetSage's first feature; every other one is a folder."""


class ErrorSchema(error_handler.ErrorSchema):
    """What every error of the API says."""

    request_id = fields.String(metadata={"description": "Only in a 500: the request's ID, if any"})


class _Api(flask_smorest.Api):
    ERROR_SCHEMA = ErrorSchema

    def handle_http_exception(self, error: HTTPException) -> HTTPException | Response:
        return error_response(error)


def init_app(app: Flask, served: Iterable[Feature]) -> None:
    """Gives the application these features, their OpenAPI 3.1 document and its docs."""
    app.config["OPENAPI_URL_PREFIX"], app.config["OPENAPI_JSON_PATH"] = OPENAPI_URL.rsplit("/", 1)
    docs = get_swaggerui_blueprint("/docs", OPENAPI_URL, _DOCS)
    app.register_blueprint(docs)
    app.add_url_rule("/docs", "docs", app.view_functions[f"{docs.name}.show"])
    app.json.sort_keys = False  # type: ignore[attr-defined]  # an answer keeps its schema's order
    documented = _Api(app, spec_kwargs=_SPEC)
    documented.register_field(features.ExactDecimal, "string", "decimal")
    documented.register_field(fields.URL, "string", "uri")
    for feature in served:
        documented.register_blueprint(feature.blueprint)


def discover(declared: Iterable[Check] = ()) -> tuple[Feature, ...]:
    """Every feature there is: the smoke test, and each folder in `petsage/features`.

    Raises `FeatureError` if one of them cannot be imported, if two have the same title, or if a
    check has the name of another feature's or of one of those that are declared.
    """
    folders = [module.name for module in pkgutil.iter_modules(features.__path__)]
    served = [SMOKE_TEST_FEATURE, *map(_load, folders)]
    _refuse_twice("title", ((f"feature {each.name!r}", each.blueprint.name) for each in served))
    checks = [("PETSAGE_CHECKS", check.name) for check in declared]
    checks += [(f"feature {each.name!r}", each.check.name) for each in served]
    _refuse_twice("check", checks)
    return tuple(served)


def _refuse_twice(what: str, owned: Iterable[tuple[str, str]]) -> None:
    """Raises `FeatureError` if two owners have the same name. Each pair is an owner and a name."""
    owners: dict[str, str] = {}
    for owner, name in owned:
        if name in owners:
            raise FeatureError(f"{owners[name]} and {owner} both have the {what} {name!r}")
        owners[name] = owner


def _load(name: str) -> Feature:
    try:
        module = importlib.import_module(f"{features.__name__}.{name}")
        return Feature(name, module.blueprint, module.check)
    except Exception as error:
        reason = " ".join(f"{error}: {whereabouts(error)}".split())
        raise FeatureError(f"feature {name!r} cannot be imported: {reason}") from error
