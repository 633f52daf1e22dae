"""What the management listener answers machines: health+json, and the status page as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from petsage.checks import Result, Value
from petsage.health.report import Report
from petsage.health.schemas import result_fields
from petsage.health.service import Identity
from petsage.json_text import json_line


def moment(offset: float, at: float) -> datetime:
    """The date and time at a moment of the clock. `offset` is what to add to the clock's seconds to
    get those since 1970."""
    return datetime.fromtimestamp(offset + at, UTC)


def health_json(report: Report, identity: Identity, wall_clock: float) -> bytes:
    """A report in the fields of draft-inadarei-api-health-check-06, section 3. `wall_clock` is now,
    in seconds since 1970."""
    offset = wall_clock - report.at
    observed = (pair for result in report.results for pair in _observations(report, result, offset))
    return json_line(
        {
            "status": report.status,
            "version": "1",
            "releaseId": identity.release,
            "serviceId": identity.instance,
            "checks": dict(observed),
        }
    )


def _observations(
    report: Report, result: Result, offset: float
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """How long a check took, and what it has observed, each as a measurement of its own."""
    took = Value(round(result.duration_seconds * 1000, 3), "ms")
    for measurement, value in (("responseTime", took), ("value", result.value)):
        if value:
            observed = {
                # Section 4.2: a condition is the system's, a check is a component's.
                "componentType": "system" if result.name in report.conditions else "component",
                "status": result.status,
                "time": moment(offset, result.at),
                "observedValue": value.number,
                "observedUnit": value.unit,
                # Section 4.9: it is left out when the status is pass.
                "output": result.reason,
            }
            present = {key: member for key, member in observed.items() if member != ""}
            yield f"{result.name}:{measurement}", [present]


def status_json(page: dict[str, Any]) -> bytes:
    """The status page: durations and ages in seconds, times as RFC 3339 has them."""
    time = partial(moment, page.pop("offset"))
    checks = [
        {
            "name": result.name,
            **result_fields(result),
            **past,
            "results": [{**result_fields(old), "at": time(old.at)} for old in past["results"]],
        }
        for result, past in page["checks"]
    ]
    changes = [
        {
            "at": time(change.result.at),
            "name": change.name,
            "from": change.was,
            "to": change.result.status,
            "reason": change.result.reason,
            "held_seconds": change.held_seconds,
        }
        for change in page["changes"]
    ]
    ledger = [
        {**asdict(entry), "first_at": time(entry.first_at), "last_at": time(entry.last_at)}
        for entry in page["ledger"]
    ]
    at = {key: time(page[key]) for key in ("at", "since")}
    return json_line({**page, **at, "checks": checks, "changes": changes, "ledger": ledger})
