"""The checks of the shop."""

import functools
import os

import redis
from sqlalchemy import text

from petsage import Check, CheckFailed, CheckWarns, Value

from .database import db


def database() -> None:
    """The run ends its own application context, and so gives the connection back."""
    db.session.execute(text("SELECT 1"))


@functools.cache
def queue() -> redis.Redis:
    """The client of the queue, made by the first run: an import should not connect."""
    return redis.Redis.from_url(os.environ["SHOP_REDIS"], socket_timeout=1)


def orders() -> Value:
    """It warns at a hundred orders that wait, and fails at a thousand."""
    waiting = Value(queue().llen("orders"), "orders")
    if waiting.number >= 1000:
        raise CheckFailed("nobody packs", value=waiting)
    if waiting.number >= 100:
        raise CheckWarns("packing is slow", value=waiting)
    return waiting


CHECKS = [
    Check("database", database, probes={"ready", "startup", "smoke"}, external=True),
    Check(
        "orders",
        orders,
        probes={"ready", "smoke"},
        timeout_seconds=2,
        fresh_seconds=5,
        stale_seconds=30,
        critical=True,
        external=True,
    ),
]
