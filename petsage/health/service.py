"""What each probe means, and the smoke test."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from petsage.applications import attributes, objects_within
from petsage.checks import Status
from petsage.health.monitor import Monitor
from petsage.health.report import Report
from petsage.scoreboard import Scoreboard
from petsage.smoke_test import FAILURE, SUCCESS, SmokeTest


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers: what is running, and which copy of it."""

    release: str
    instance: str


def http_status(status: Status) -> int:
    """The one place where a status becomes an HTTP status."""
    return 503 if status is Status.FAIL else 200  # an HTTPStatus costs werkzeug 4 us an answer


@dataclass(frozen=True, slots=True)
class Health:
    """The health of an application, which holds it in `app.extensions["petsage"]`."""

    monitor: Monitor
    scoreboard: Scoreboard
    identity: Identity
    name: str = "PetSage"
    """What the smoke test calls the application."""

    @classmethod
    def of(cls, application: object) -> "Health | None":
        """The health of an application, whatever wraps it; None if it has none."""
        for candidate in objects_within(application):
            extensions = attributes(candidate).get("extensions")
            health = extensions.get("petsage") if type(extensions) is dict else None
            if isinstance(health, cls):
                return health
        return None

    def report(self, probe: str, names: Collection[str] | None = None) -> Report:
        """What `probe` gets now; `names` limits it to these checks and conditions.

        Once every startup check has held in one report, the startup probe passes for ever: from
        then on a kubelet asks for readiness. Raises `KeyError` for an unknown probe or name.
        """
        report = self.monitor.report(probe, names)
        if probe != "startup" or names is not None:
            return report
        if self.scoreboard.started:
            return replace(report, latched=True)
        if report.status is not Status.FAIL:
            self.scoreboard.started = True
        return report


def run_smoke_test(health: Health) -> SmokeTest:
    """Runs the smoke checks: each feature's, and the dependencies' whose probes include smoke."""
    failed = health.report("smoke").failed
    result = replace(FAILURE, failed=failed) if failed else SUCCESS
    if health.name == "PetSage":
        return result
    return replace(result, message=result.message.replace("PetSage", health.name, 1))
