"""What the smoke test and a result look like over the wire."""

from dataclasses import asdict
from functools import lru_cache
from typing import Any

from marshmallow import Schema, fields, validate

from petsage.checks import Result
from petsage.json_text import json_line
from petsage.smoke_test import FAILURE, SMOKE_TEST, SUCCESS, SmokeTest


class SmokeTestSchema(Schema):
    """The smoke test's answer when all is well. Loading is as strict as the contract."""

    status = fields.String(required=True, validate=validate.Equal(SUCCESS.status))
    message = fields.String(required=True, validate=validate.Equal(SUCCESS.message))
    feature = fields.String(required=True, validate=validate.Equal(SMOKE_TEST))


class SmokeTestFailureSchema(SmokeTestSchema):
    """The smoke test's answer when a critical smoke check fails."""

    status = fields.String(required=True, validate=validate.Equal(FAILURE.status))
    message = fields.String(required=True, validate=validate.Equal(FAILURE.message))
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


def contract_holds() -> None:
    """The smoke test's own smoke check: raises if the success body breaks its schema."""
    SmokeTestSchema().loads(smoke_test_body(SUCCESS))


def result_fields(result: Result) -> dict[str, Any]:
    """A result in PetSage's own JSON, without the name of its check."""
    return {
        "status": result.status,
        "reason": result.reason,
        "duration_seconds": result.duration_seconds,
        **({"value": asdict(result.value)} if result.value else {}),
    }
