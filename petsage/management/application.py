"""The application of the management listener, put together from a configuration."""

from functools import partial

from flask import Flask

from petsage import logs
from petsage.clock import SystemClock
from petsage.config import Config
from petsage.health.conditions import Workers, drain_condition, listens
from petsage.health.monitor import Monitor
from petsage.health.service import Health, Identity
from petsage.management import hosts, views
from petsage.printable import one_line
from petsage.scoreboard import scoreboard

_NOT_FOUND = (
    "The management listener runs only the declared checks: this %s holds no application on which"
    " petsage.health.init_app was called. If it wraps one, store that one in its attribute `app`."
)


def create(config: Config, application: object) -> Flask:
    """What `petsage.create_management_app` returns."""
    health = Health.of(application)
    if application is not None and health is None:
        logs.enabled_logger("petsage").warning(_NOT_FOUND, one_line(type(application).__name__))
    checks = health.monitor.checks if health else config.checks
    served = Workers(partial(listens, config.bind), scoreboard, SystemClock(), config.stuck_seconds)
    monitor = Monitor(checks, [drain_condition(scoreboard), served.condition()])
    identity = Identity(config.release, config.instance)
    app = views.management_app(Health(monitor, scoreboard, identity))
    if hosts.is_loopback(config.management_bind):
        hosts.refuse_names(app)
    return app
