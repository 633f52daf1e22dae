"""The health blueprints of the main listener: the smoke test, and probes without details."""

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from flask import Blueprint, Flask, Response, current_app, request
from flask_smorest import Blueprint as DocumentedBlueprint
from werkzeug.exceptions import HTTPException

from petsage.checks import Check, Status
from petsage.config import Config
from petsage.errors import CheckError
from petsage.health import schemas
from petsage.health.conditions import drain_condition
from petsage.health.monitor import Monitor
from petsage.health.service import Health, Identity, http_status, run_smoke_test
from petsage.printable import one_line
from petsage.scoreboard import Scoreboard
from petsage.scoreboard import scoreboard as own_scoreboard
from petsage.smoke_test import FAILURE, SMOKE_TEST, SUCCESS

v1 = DocumentedBlueprint(
    "Health & Status",
    __name__,
    url_prefix="/api/v1",
    description="Whether the service, and what it depends on, really works.",
)
probes = Blueprint("petsage_probes", __name__)

smoke_check = Check(SMOKE_TEST, schemas.contract_holds, frozenset({"smoke"}))
"""The smoke test's own smoke check."""


def in_context(app: Flask, check: Check) -> Check:
    """The same check, but each run has an application context of its own.

    Raises `CheckError` if it is no `Check`.
    """
    if not isinstance(check, Check):
        name = one_line(getattr(check, "__name__", "function"))
        raise CheckError(f'not a check but a {type(check).__name__}: write Check("name", {name})')
    run = check.run

    def run_in_context() -> object:
        with app.app_context():
            return run()

    run_in_context.__wrapped__ = run  # type: ignore[attr-defined]
    return replace(check, run=run_in_context)


def add_probes(
    app: Flask,
    checks: Iterable[Check],
    name: str = "PetSage",
    config: Config | None = None,
    scoreboard: Scoreboard | None = None,
) -> Health:
    """What `petsage.health.init_app` does, but without the smoke test's view and check, which
    `petsage.api` adds as those of a feature."""
    if "petsage" in app.extensions:
        raise CheckError("init_app was called before on this application")
    config, scoreboard = config or Config.load(), scoreboard or own_scoreboard
    own = [in_context(app, check) for check in checks]
    monitor = Monitor([*own, *config.checks], [drain_condition(scoreboard)])
    identity = Identity(config.release, config.instance)
    health = Health(monitor, scoreboard, identity, one_line(name, 100))
    app.extensions["petsage"] = health
    app.register_blueprint(probes)
    refuse_own_rules(app, "/livez", "/readyz", "/startupz")
    return health


def refuse_own_rules(app: Flask, *paths: str) -> None:
    """Raises `CheckError` if one of these paths leads to a rule of the application's own, or to
    none, as it does when the application matches hosts."""
    urls = app.url_map.bind(app.config["SERVER_NAME"] or "localhost")
    for path in paths:
        try:
            endpoint, _ = urls.match(path, "GET")
        except HTTPException as error:
            raise CheckError(f"{path} does not lead to PetSage: {error.name}") from None
        if app.view_functions[endpoint].__module__ != __name__:
            raise CheckError(f"the application has a rule of its own for {path}: {endpoint!r}")


def current_health() -> Health:
    """The health of the application that answers this request."""
    return cast(Health, current_app.extensions["petsage"])


def answer(health: Health, body: bytes, status: Status, media_type: str) -> Response:
    """A health answer: its headers say who answers, and that no cache may store it (RFC 9111,
    5.2.2.5)."""
    headers = [
        ("Cache-Control", "no-store"),
        ("PetSage-Release", health.identity.release),
        ("PetSage-Instance", health.identity.instance),
    ]
    return Response(body, http_status(status), headers, media_type)


@v1.route("/smoke-test")
@v1.response(
    200,
    schemas.SmokeTestSchema,
    description="Every critical smoke check holds.",
    example=schemas.SmokeTestSchema().dump(SUCCESS),
)
@v1.alt_response(
    503,
    schema=schemas.SmokeTestFailureSchema,
    description="A critical smoke check fails; `failed` names each one that does.",
    example=schemas.SmokeTestFailureSchema().dump(replace(FAILURE, failed=("database",))),
)
def smoke_test(**_ignored: object) -> Response:
    """Perform a System Smoke Test

    Validates a deployment end to end: runs the smoke check of every feature and of every
    dependency that asks for it, and answers once all of them have.
    """
    health = current_health()
    result = run_smoke_test(health)
    status = Status.FAIL if result.failed else Status.PASS
    return answer(health, schemas.smoke_test_body(result), status, "application/json")


@probes.get("/livez", endpoint="live")
@probes.get("/readyz", endpoint="ready")
@probes.get("/startupz", endpoint="startup")
def bare_probe(**_ignored: object) -> Response:
    """The main listener is public: the details are on the management listener."""
    health = current_health()
    # A value of the rule would not do: preprocessors of the application may drop it, or add some.
    probe = str(request.endpoint).rpartition(".")[2]
    status = health.report(probe).status
    return answer(health, b"failed\n" if status is Status.FAIL else b"ok\n", status, "text/plain")
