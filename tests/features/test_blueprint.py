"""Promises of what all features share: a body that cannot be read is a 4xx, a number is short."""

from decimal import Decimal

import pytest
from marshmallow import Schema, ValidationError, fields

from petsage import create_app
from petsage.api import OPENAPI_URL
from petsage.features import Blueprint, ExactDecimal


class PetSchema(Schema):
    name = fields.String()
    age = fields.Integer()
    weight = ExactDecimal()


@pytest.fixture
def client(config):
    blueprint = Blueprint("Pets", __name__, url_prefix="/api/v1")

    @blueprint.route("/pets", methods=["POST"])
    @blueprint.arguments(PetSchema)
    @blueprint.response(201, PetSchema)
    def create(given):
        """Create

        A pet
        --- with a dash.
        """
        return given

    app = create_app(config)
    app.extensions["flask-smorest"]["apis"][""]["ext_obj"].register_blueprint(blueprint)
    return app.test_client()


def test_an_answer_has_the_order_of_its_schema(client):
    answer = client.post("/api/v1/pets", json={"weight": "1.50", "age": 3, "name": "Rex"})
    assert (answer.status_code, answer.data) == (
        201,
        b'{"name":"Rex","age":3,"weight":"1.50"}\n',
    )


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"age":' + b"9" * 5000 + b"}"]
)
def test_a_body_that_is_no_json_is_a_400(client, body):
    answer = client.post("/api/v1/pets", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json["message"] == "The body is not valid JSON."


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_of_another_content_type_is_a_415(client, content_type):
    answer = client.post("/api/v1/pets", data='{"name":"Rex"}', content_type=content_type)
    assert answer.status_code == 415
    assert "application/json" in answer.json["message"]


@pytest.mark.parametrize("body", ["[]", "null", "1", '"Rex"'])
def test_json_that_is_no_object_is_a_422(client, body):
    answer = client.post("/api/v1/pets", data=body, content_type="application/json")
    assert answer.status_code == 422


def test_a_field_that_is_not_known_is_a_422(client):
    answer = client.post("/api/v1/pets", json={"nmae": "Rex"})
    assert (answer.status_code, answer.json["errors"]) == (
        422,
        {"json": {"nmae": ["Unknown field."]}},
    )


@pytest.mark.parametrize("number", ["0", "-1.50", "1" * 28, "0." + "0" * 27 + "1", "1e27", "1e-28"])
def test_a_decimal_comes_back_as_the_number_it_is(number):
    field = ExactDecimal()
    written = field.serialize("weight", {"weight": field.deserialize(number)})
    assert Decimal(written) == Decimal(number)
    assert len(written) <= 31


@pytest.mark.parametrize(
    "number",
    ["1e28", "1e999999999", "1e-29", "1e-999999999", "0e999999999", "NaN", "-Infinity", ""],
)
def test_a_decimal_that_would_fill_the_memory_is_refused(number):
    with pytest.raises(ValidationError):
        ExactDecimal().deserialize(number)


def test_a_decimal_is_documented_as_the_string_that_it_is(client):
    schema = client.get(OPENAPI_URL).json["components"]["schemas"]["Pet"]
    assert schema["properties"]["weight"] == {"type": "string", "format": "decimal"}


def test_a_docstring_is_documented_to_its_end(client):
    operation = client.get(OPENAPI_URL).json["paths"]["/api/v1/pets"]["post"]
    assert operation["summary"] == "Create"
    assert operation["description"] == "A pet\n--- with a dash."
