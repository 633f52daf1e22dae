"""The health blueprints of the main listener: the smoke test, and probes without details."""

from dataclasses import replace
from typing import cast

from flask import Blueprint, Flask, Response, current_app
from flask_smorest import Blueprint as DocumentedBlueprint

from petsage.checks import SMOKE_TEST, Check, Status
from petsage.contract import FAILURE, SUCCESS
from petsage.health.schemas import (
    SmokeTestFailureSchema,
    SmokeTestSchema,
    contract_holds,
    smoke_test_body,
)
from petsage.health.service import Health, http_status, run_smoke_test

v1 = DocumentedBlueprint(
    "Health & Status",
    __name__,
    url_prefix="/api/v1",
    description="Whether the service, and what it depends on, really works.",
)
probes = Blueprint("petsage_probes", __name__)

smoke_check = Check(SMOKE_TEST, contract_holds, frozenset({"smoke"}))
"""The smoke test's own smoke check."""


def in_context(app: Flask, check: Check) -> Check:
    """The check, each run of which has a context of the application, torn down after it."""
    run = check.run

    def run_in_context() -> object:
        with app.app_context():
            return run()

    run_in_context.__wrapped__ = run  # type: ignore[attr-defined]
    return replace(check, run=run_in_context)


def refuse_own_rules(app: Flask, *paths: str) -> None:
    """Raises `ValueError` if another rule of the application answers one of these paths."""
    urls = app.url_map.bind(app.config["SERVER_NAME"] or "localhost")
    for path in paths:
        endpoint, _ = urls.match(path, "GET")
        if app.view_functions[endpoint].__module__ != __name__:
            raise ValueError(f"the application has a rule of its own for {path}: {endpoint!r}")


def current_health() -> Health:
    """The health of the application that answers this request."""
    return cast(Health, current_app.extensions["petsage"])


def answer(health: Health, body: bytes, status: Status, media_type: str) -> Response:
    """A health answer: it says who answers, and no cache keeps it (RFC 9111, 5.2.2.5)."""
    headers = [
        ("Cache-Control", "no-store"),
        ("PetSage-Release", health.identity.release),
        ("PetSage-Instance", health.identity.instance),
    ]
    return Response(body, http_status(status), headers, media_type)


@v1.route("/smoke-test")
@v1.response(
    200,
    SmokeTestSchema,
    description="Every critical smoke check holds.",
    example=SmokeTestSchema().dump(SUCCESS),
)
@v1.alt_response(
    503,
    schema=SmokeTestFailureSchema,
    description="A critical smoke check fails; `failed` names each one that does.",
    example=SmokeTestFailureSchema().dump(replace(FAILURE, failed=("database",))),
)
def smoke_test() -> Response:
    """Perform a System Smoke Test

    Validates a deployment end to end: runs the smoke check of every feature and of every
    dependency that asks for it, and answers once all of them have.
    """
    health = current_health()
    result = run_smoke_test(health)
    status = Status.FAIL if result.failed else Status.PASS
    return answer(health, smoke_test_body(result), status, "application/json")


@probes.get("/livez")
def live() -> Response:
    """Whether this worker can answer at all."""
    return _bare_answer("live")


@probes.get("/readyz")
def ready() -> Response:
    """Whether this worker wants traffic."""
    return _bare_answer("ready")


@probes.get("/startupz")
def startup() -> Response:
    """Whether this worker has started."""
    return _bare_answer("startup")


def _bare_answer(probe: str) -> Response:
    """The main listener is public: the details are on the management listener."""
    health = current_health()
    status = health.status(probe)
    return answer(health, b"failed\n" if status is Status.FAIL else b"ok\n", status, "text/plain")
