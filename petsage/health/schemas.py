"""What goes over the wire, and how it looks there."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from marshmallow import Schema, fields, post_dump, validate

from petsage.checks import SMOKE_TEST, Result, Value
from petsage.config import Config
from petsage.contract import FAILURE, SUCCESS, SmokeTest
from petsage.health.report import Report
from petsage.json_text import json_line
from petsage.management.status import Overview


class SmokeTestSchema(Schema):
    """The smoke test's answer when all is well. Loading is as strict as the contract."""

    status = fields.String(required=True, validate=validate.Equal(SUCCESS.status))
    message = fields.String(required=True, validate=validate.Equal(SUCCESS.message))
    feature = fields.String(required=True, validate=validate.Equal(SMOKE_TEST))


class SmokeTestFailureSchema(Schema):
    """The smoke test's answer when a critical smoke check fails."""

    status = fields.String(required=True, validate=validate.Equal(FAILURE.status))
    message = fields.String(required=True, validate=validate.Equal(FAILURE.message))
    feature = fields.String(required=True, validate=validate.Equal(SMOKE_TEST))
    failed = fields.List(
        fields.String(),
        required=True,
        validate=validate.Length(min=1),
        metadata={"description": "The names of the failing checks."},
    )


@lru_cache(maxsize=32)
def smoke_test_body(result: SmokeTest) -> bytes:
    """The body of the smoke test's answer: compact JSON, keys in the schema's order, a newline.

    Equal results have equal bodies, so each is serialized once.
    """
    schema = SmokeTestFailureSchema() if result.failed else SmokeTestSchema()
    return json_line(schema.dump(result))


class ValueSchema(Schema):
    """What a check has observed."""

    number = fields.Float()
    unit = fields.String()


class ResultSchema(Schema):
    """A check's result, for PetSage's own documents."""

    name = fields.String()
    status = fields.String()
    reason = fields.String()
    duration_seconds = fields.Float()
    value = fields.Nested(ValueSchema)

    @post_dump
    def _leave_out(self, dumped: dict[str, Any], **_: Any) -> dict[str, Any]:
        """A check that observes nothing has no value."""
        return {name: one for name, one in dumped.items() if one is not None or name != "value"}


class _ObservationSchema(Schema):
    """One check's result, as draft-inadarei-api-health-check-06 has it in section 4."""

    component_type = fields.String(data_key="componentType")
    status = fields.String()
    time = fields.AwareDateTime(default_timezone=UTC)
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


def health_body(report: Report, config: Config, wall_clock: float) -> bytes:
    """A report as health+json. `wall_clock` is the time of day now, in seconds since 1970."""
    began = wall_clock - report.at
    return json_line(
        ReportSchema().dump(
            {
                "status": report.status.value,
                "version": "1",
                "release_id": config.release,
                "service_id": config.instance,
                "checks": {
                    key: [observation]
                    for result in report.results
                    for key, observation in _observations(report, result, began)
                },
            }
        )
    )


def _observations(
    report: Report, result: Result, began: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """How long a check took, and what it has observed, each under its own measurement's name."""
    milliseconds = Value(round(result.duration_seconds * 1000, 3), "ms")
    for measurement, value in (("responseTime", milliseconds), ("value", result.value)):
        if value:
            yield (
                f"{result.name}:{measurement}",
                {
                    # Section 4.2: what this process knows of itself is the system's.
                    "component_type": "system" if result.name in report.conditions else "component",
                    "status": result.status.value,
                    "time": datetime.fromtimestamp(began + result.at, UTC),
                    "observed_value": value.number,
                    # Section 4.9: "output" is left out when the status is pass.
                    **({"observed_unit": value.unit} if value.unit else {}),
                    **({"output": result.reason} if result.reason else {}),
                },
            )


class _PastResultSchema(ResultSchema):
    at = fields.AwareDateTime()


class _RowSchema(ResultSchema):
    status_seconds = fields.Float()
    age_seconds = fields.Float()
    results = fields.List(fields.Nested(_PastResultSchema(exclude=("name",))))


class _ChangeSchema(Schema):
    at = fields.AwareDateTime()
    name = fields.String()
    was = fields.String(data_key="from")
    status = fields.String(data_key="to")
    reason = fields.String()
    held_seconds = fields.Float()


class _EntrySchema(Schema):
    probe = fields.String()
    asked = fields.String()
    agent = fields.String()
    code = fields.Integer()
    told = fields.String()
    times = fields.Integer()
    first_at = fields.AwareDateTime()
    last_at = fields.AwareDateTime()


class OverviewSchema(Schema):
    """The status page as JSON: durations and ages in seconds, times as RFC 3339 has them."""

    status = fields.String()
    at = fields.AwareDateTime()
    since = fields.AwareDateTime()
    release = fields.String()
    instance = fields.String()
    uptime_seconds = fields.Float()
    finished_seconds = fields.Float()
    draining = fields.Boolean()
    probes = fields.Dict(fields.String(), fields.String())
    checks = fields.List(fields.Nested(_RowSchema))
    changes = fields.List(fields.Nested(_ChangeSchema))
    ledger = fields.List(fields.Nested(_EntrySchema))


def overview_body(page: Overview) -> bytes:
    """The status page as JSON."""

    def told(one: Any, *moments: str) -> dict[str, Any]:
        content = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
        return content | {name: page.time(content[name]) for name in moments}

    content = told(page, "at", "since") | {
        "checks": [
            told(row) | {"results": [told(result, "at") for result in row.results]}
            for row in page.checks
        ],
        "changes": [told(change) | told(change.result, "at") for change in page.changes],
        "ledger": [told(entry, "first_at", "last_at") for entry in page.ledger],
    }
    return json_line(OverviewSchema().dump(content))


def contract_holds() -> None:
    """The smoke test's own smoke check: raises if the success body breaks its schema."""
    SmokeTestSchema().loads(smoke_test_body(SUCCESS))
