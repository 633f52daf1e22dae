"""The management blueprint: what the operator's side of an instance answers."""

import time
from typing import cast

from flask import Blueprint, Flask, Response, abort, current_app, g, request
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException

from petsage.checks import Result, Status
from petsage.health.report import Report
from petsage.health.service import Health
from petsage.health.views import answer, current_health
from petsage.http_errors import error_response
from petsage.management import metrics, page, status
from petsage.management.documents import health_json, status_json
from petsage.management.ledger import Ledger
from petsage.management.recent import Recent

HEALTH_JSON = "application/health+json"
"""The media type of draft-inadarei-api-health-check-06."""

# A kubelet keeps 10 KiB of a body (k8s.io/kubernetes/pkg/probe/http: maxRespBodyLength).
_BODY_BYTES = 10 * 1024 - 256

_INDEX = """\
PetSage, the operator's side of an instance.

/livez     restart it if this fails
/readyz    send it traffic while this holds
/startupz  whether it has started
           each also as /readyz/NAME for one check,
           with ?verbose, ?exclude=NAME, and Accept: application/health+json
/status    all of it on a page, or as application/json
/metrics   the same for Prometheus
"""

management = Blueprint("management", __name__)


def create_app(health: Health) -> Flask:
    """The application of the management listener, which shows this health in detail."""
    app = Flask("petsage.management", static_folder=None)
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    ledger = Ledger(health.monitor.clock.now())
    app.extensions["petsage"] = health
    app.extensions["petsage_ledger"] = ledger
    app.extensions["petsage_recent"] = Recent(health.monitor.clock)
    app.extensions["petsage_metrics"] = metrics.registry(health, ledger)
    app.register_error_handler(HTTPException, error_response)
    app.register_blueprint(management)
    return app


@management.get("/")
def index() -> Response:
    """What is here."""
    return Response(_INDEX, mimetype="text/plain")


@management.get("/livez")
@management.get("/livez/<name>")
def live(name: str | None = None) -> Response:
    """Restart me if this fails."""
    return _answer("live", name)


@management.get("/readyz")
@management.get("/readyz/<name>")
def ready(name: str | None = None) -> Response:
    """Send traffic while this holds."""
    return _answer("ready", name)


@management.get("/startupz")
@management.get("/startupz/<name>")
def startup(name: str | None = None) -> Response:
    """Whether it has started."""
    return _answer("startup", name)


@management.get("/status")
def status_page() -> Response:
    """All that the instance knows of itself. Whatever it shows, the page is a 200."""
    if _wanted("text/html", "application/json") == "application/json":
        response = _unstored(_recent().get("json", _status_json), "application/json")
    else:
        whole = "open" in request.args
        body = _recent().get(f"page {whole}", lambda: page.render(_overview(), whole))
        response = _unstored(body, "text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = page.security_policy()
    response.headers["Referrer-Policy"] = "no-referrer"
    response.vary.add("Accept")
    return response


@management.get("/metrics")
def prometheus_metrics() -> Response:
    """What Prometheus reads."""
    registry = current_app.extensions["petsage_metrics"]
    body = _recent().get("metrics", lambda: generate_latest(registry))
    return _unstored(body, CONTENT_TYPE_PLAIN_0_0_4)


def _overview() -> status.Overview:
    return status.overview(current_health(), _ledger(), time.time())


def _status_json() -> bytes | str:
    return status_json(_overview())


def _wanted(*offers: str) -> str:
    """The media type that the client prefers, without its parameters; else the first offer."""
    accepted = request.accept_mimetypes
    bare = MIMEAccept([(one.partition(";")[0].strip(), quality) for one, quality in accepted])
    return bare.best_match(offers, default=offers[0]) or offers[0]


def _unstored(body: bytes | str, content_type: str) -> Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(body, headers=headers, content_type=content_type)


def _recent() -> Recent:
    return cast(Recent, current_app.extensions["petsage_recent"])


def _ledger() -> Ledger:
    return cast(Ledger, current_app.extensions["petsage_ledger"])


@management.after_request
def enter_in_the_ledger(response: Response) -> Response:
    """Each answer to a probe, a 404 for an unknown name included. OPTIONS asks for no check."""
    probe = (request.endpoint or "").rpartition(".")[2]
    if probe in status.MANAGED and request.method != "OPTIONS":
        now = current_health().monitor.clock.now()
        agent = request.headers.get("User-Agent", "")
        reason, choice, failed = g.get("reason", ""), g.get("choice", ""), g.get("failed", ())
        _ledger().enter(probe, agent, response.status_code, reason, now, choice, failed)
    return response


def _answer(probe: str, name: str | None) -> Response:
    health = current_health()
    report = health.report(probe, _names(health.monitor.names(probe), name))
    g.failed = report.failed
    g.reason = ", ".join(f"{r.name}: {r.reason}" for r in report.failures)
    media_type = _wanted("text/plain", HEALTH_JSON, "application/json")
    if media_type == "text/plain":
        body = _text(report, "verbose" in request.args).encode()
    else:
        body = health_json(report, health.identity, time.time())
    response = answer(health, body, report.status, media_type)
    response.vary.add("Accept")
    return response


def _names(known: tuple[str, ...], name: str | None) -> list[str] | None:
    """Which checks are asked for, None for all. An unknown name is a 404, never a quiet pass."""
    excluded = request.args.getlist("exclude")
    for one in (name, *excluded):
        if one is not None and one not in known:
            g.reason = "no such check"
            abort(404, f"This probe has no such check; it has: {', '.join(known) or 'none'}.")
    if name is not None:
        g.choice = name
        return [name]
    if not excluded:
        return None
    g.choice = f"without {', '.join(one for one in known if one in excluded)}"
    return [one for one in known if one not in excluded]


def _text(report: Report, verbose: bool) -> str:
    lines = [_line(result) for result in (report.results if verbose else report.failures)]
    last = "failed\n" if report.status is Status.FAIL else "ok\n"
    return "".join([*(lines if verbose else _bounded(lines)), last])


def _bounded(lines: list[str]) -> list[str]:
    """As many of these lines as a kubelet keeps, and how many it does not."""
    room = _BODY_BYTES
    for count, line in enumerate(lines):
        room -= len(line.encode())
        if room < 0:
            return [*lines[:count], f"and {len(lines) - count} more\n"]
    return lines


def _line(result: Result) -> str:
    match result.status:
        case Status.PASS:
            return f"[+]{result.name} ok\n"
        case Status.WARN:
            return f"[!]{result.name} warn: {result.reason}\n"
        case Status.FAIL:
            return f"[-]{result.name} failed: {result.reason}\n"
