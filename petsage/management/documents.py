"""What the management listener answers machines: health+json, and the status page as JSON."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from marshmallow import Schema, fields

from petsage.checks import Result, Value
from petsage.health.report import Report
from petsage.health.schemas import result_fields
from petsage.health.service import Identity
from petsage.json_text import json_line
from petsage.management.ledger import Entry
from petsage.management.status import CheckRow, Overview


class _ObservationSchema(Schema):
    """One check's result, as draft-inadarei-api-health-check-06 has it in section 4."""

    component_type = fields.String(data_key="componentType")
    status = fields.String()
    time = fields.AwareDateTime()
    observed_value = fields.Float(data_key="observedValue")
    observed_unit = fields.String(data_key="observedUnit")
    output = fields.String()


class ReportSchema(Schema):
    """A report in the fields of draft-inadarei-api-health-check-06, section 3."""

    status = fields.String()
    version = fields.String()
    release_id = fields.String(data_key="releaseId")
    service_id = fields.String(data_key="serviceId")
    checks = fields.Dict(fields.String(), fields.List(fields.Nested(_ObservationSchema)))


def health_json(report: Report, identity: Identity, wall_clock: float) -> bytes:
    """A report as health+json. `wall_clock` is the time of day now, in seconds since 1970."""
    content = {
        "status": report.status.value,
        "version": "1",
        "release_id": identity.release,
        "service_id": identity.instance,
        "checks": dict(
            one
            for result in report.results
            for one in _observations(report, result, wall_clock - report.at)
        ),
    }
    return json_line(ReportSchema().dump(content))


def _observations(
    report: Report, result: Result, zero: float
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """How long a check took, and what it has observed, each as a measurement of its own."""
    content = {
        # Section 4.2: a condition is the system's, a check is a component's.
        "component_type": "system" if result.name in (report.conditions or ()) else "component",
        "status": result.status.value,
        "time": datetime.fromtimestamp(zero + result.at, UTC),
        # Section 4.9: "output" is left out when the status is pass.
        **({"output": result.reason} if result.reason else {}),
    }
    took = Value(round(result.duration_seconds * 1000, 3), "ms")
    for measurement, value in (("responseTime", took), ("value", result.value)):
        if value:
            unit = {"observed_unit": value.unit} if value.unit else {}
            observed = {"observed_value": value.number, **unit}
            yield f"{result.name}:{measurement}", [content | observed]


def status_json(page: Overview) -> bytes:
    """The status page: durations and ages in seconds, times as RFC 3339 has them."""
    return json_line(
        {
            "status": page.status,
            "at": _time(page, page.at),
            "since": _time(page, page.since),
            "release": page.identity.release,
            "instance": page.identity.instance,
            "uptime_seconds": page.uptime_seconds,
            "finished_seconds": page.finished_seconds,
            "draining": page.draining,
            "probes": page.probes,
            "checks": [_row(page, row) for row in page.checks],
            "changes": [
                {
                    "at": _time(page, change.result.at),
                    "name": change.name,
                    "from": change.was,
                    "to": change.result.status,
                    "reason": change.result.reason,
                    "held_seconds": change.held_seconds,
                }
                for change in page.changes
            ],
            "ledger": [_entry(page, entry) for entry in page.ledger],
        }
    )


def _row(page: Overview, row: CheckRow) -> dict[str, Any]:
    return {
        "name": row.result.name,
        **result_fields(row.result),
        "status_seconds": row.status_seconds,
        "age_seconds": row.age_seconds,
        "results": [{**result_fields(one), "at": _time(page, one.at)} for one in row.results],
    }


def _entry(page: Overview, entry: Entry) -> dict[str, Any]:
    return {
        "probe": entry.probe,
        "asked": entry.choice,
        "agent": entry.agent,
        "code": entry.code,
        "told": entry.reason,
        "times": entry.times,
        "first_at": _time(page, entry.first_at),
        "last_at": _time(page, entry.last_at),
    }


def _time(page: Overview, at: float) -> str:
    whole, micro = divmod(round((page.zero + at) * 1_000_000), 1_000_000)
    return f"{_second(whole)}.{micro:06}+00:00"


@lru_cache(maxsize=1024)
def _second(whole: int) -> str:
    """The page has thousands of moments, in few seconds."""
    return datetime.fromtimestamp(whole, UTC).replace(tzinfo=None).isoformat()
