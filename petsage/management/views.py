"""The management blueprint: what the operator's side of an instance answers."""

import time
from collections.abc import Callable
from typing import Any, cast

from flask import Blueprint, Flask, Response, abort, current_app, g, render_template, request
from prometheus_client.exposition import generate_latest
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException

from petsage.checks import Status
from petsage.health.report import Report
from petsage.health.service import Health
from petsage.health.views import answer, current_health
from petsage.http_errors import error_response
from petsage.management import page
from petsage.management.documents import health_json, status_json
from petsage.management.ledger import Ledger
from petsage.management.metrics import Scrape
from petsage.management.recent import Recent
from petsage.management.status import overview

HEALTH_JSON = "application/health+json"
"""The media type of draft-inadarei-api-health-check-06."""

# A kubelet keeps 10 KiB of a body (k8s.io/kubernetes/pkg/probe/http: maxRespBodyLength).
_BODY_BYTES = 10 * 1024 - 256

_LINES = {
    Status.PASS: "[+]{0.name} ok\n",
    Status.WARN: "[!]{0.name} warn: {0.reason}\n",
    Status.FAIL: "[-]{0.name} failed: {0.reason}\n",
}

management = Blueprint("management", __name__)


def management_app(health: Health) -> Flask:
    """The application of the management listener, which shows this health in detail."""
    app = Flask("petsage.management", static_folder=None)
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    app.extensions["petsage"] = health
    app.extensions["petsage_ledger"] = Ledger(health.monitor.clock.now())
    app.extensions["petsage_recent"] = Recent(health.monitor.clock)
    app.register_error_handler(HTTPException, error_response)
    app.register_blueprint(management)
    return app


@management.get("/")
def index() -> Response:
    """The URLs of this listener."""
    return Response(render_template("index.txt"), mimetype="text/plain")


@management.get("/livez", defaults={"probe": "live"})
@management.get("/livez/<name>", defaults={"probe": "live"})
@management.get("/readyz", defaults={"probe": "ready"})
@management.get("/readyz/<name>", defaults={"probe": "ready"})
@management.get("/startupz", defaults={"probe": "startup"})
@management.get("/startupz/<name>", defaults={"probe": "startup"})
def probe_in_detail(probe: str, name: str | None = None) -> Response:
    """What a probe gets: the report of all its checks, or of one."""
    health = current_health()
    names, asked = _names(health.monitor.names(probe), name)
    report = health.report(probe, names)
    reason = ", ".join(f"{result.name}: {result.reason}" for result in report.failures)
    g.entered = reason, asked, report.failed
    media_type = _wanted("text/plain", HEALTH_JSON, "application/json")
    if media_type == "text/plain":
        body = _as_text(report, "verbose" in request.args).encode()
    else:
        body = health_json(report, health.identity, time.time())
    response = answer(health, body, report.status, media_type)
    response.vary.add("Accept")
    return response


@management.get("/status")
def status_page() -> Response:
    """All that the instance knows of itself. The page is a 200, whatever it shows."""
    whole, media_type = "open" in request.args, _wanted("text/html", "application/json")
    if media_type == "application/json":
        response = _recent("json", lambda: status_json(_overview()), media_type)
    else:
        name = f"page {whole}"
        response = _recent(name, lambda: page.render(_overview(), whole), media_type)
    response.headers["Content-Security-Policy"] = page.SECURITY_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.vary.add("Accept")
    return response


@management.get("/metrics")
def prometheus_metrics() -> Response:
    """What Prometheus reads."""
    return _recent("metrics", _metrics, "text/plain; version=0.0.4")


@management.after_request
def enter_in_the_ledger(response: Response) -> Response:
    """Enters each answer to a probe, also a 404 for an unknown name. OPTIONS asks for no check."""
    probe = (request.view_args or {}).get("probe")
    if probe and request.method != "OPTIONS":
        now = current_health().monitor.clock.now()
        agent = request.headers.get("User-Agent", "")
        reason, asked, failed = g.get("entered", ("", "", ()))
        _ledger().enter(probe, agent, response.status_code, reason, now, asked, failed)
    return response


def _overview() -> dict[str, Any]:
    return overview(current_health(), _ledger(), time.time())


def _metrics() -> bytes:
    return generate_latest(Scrape.of(current_health(), _ledger()))


def _ledger() -> Ledger:
    return cast(Ledger, current_app.extensions["petsage_ledger"])


def _recent(name: str, render: Callable[[], bytes | str], media_type: str) -> Response:
    """What `render` returns. For each name it is called once a second at most."""
    recent: Recent = current_app.extensions["petsage_recent"]
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(recent.get(name, render), headers=headers, mimetype=media_type)


def _wanted(*offers: str) -> str:
    """The media type that the client prefers, without its parameters; else the first offer."""
    accepted = request.accept_mimetypes
    bare = MIMEAccept([(kind.partition(";")[0].strip(), quality) for kind, quality in accepted])
    return bare.best_match(offers, default=offers[0]) or offers[0]


def _names(known: tuple[str, ...], name: str | None) -> tuple[list[str] | None, str]:
    """The names that are asked for (None for all), and the same in words. An unknown name is a 404,
    never a quiet pass."""
    excluded = request.args.getlist("exclude")
    for given in (name, *excluded):
        if given is not None and given not in known:
            g.entered = "no such check", "", ()
            abort(404, f"This probe has no such check; it has: {', '.join(known) or 'none'}.")
    if name is not None:
        return [name], name
    if not excluded:
        return None, ""
    without = f"without {', '.join(check for check in known if check in excluded)}"
    return [check for check in known if check not in excluded], without


def _as_text(report: Report, verbose: bool) -> str:
    results = report.results if verbose else report.failures
    lines = [_LINES[result.status].format(result) for result in results]
    last = "failed\n" if report.status is Status.FAIL else "ok\n"
    return "".join([*(lines if verbose else _bounded(lines)), last])


def _bounded(lines: list[str]) -> list[str]:
    """As many of these lines as a kubelet keeps, and how many are left out."""
    room = _BODY_BYTES
    for count, line in enumerate(lines):
        room -= len(line.encode())
        if room < 0:
            return [*lines[:count], f"and {len(lines) - count} more\n"]
    return lines
