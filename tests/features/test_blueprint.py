"""Promises of what all features share: what is wrong is a short 4xx, open requirements a warn."""

from decimal import Decimal

import pytest
from flask import Flask
from marshmallow import Schema, ValidationError, fields

from petsage import create_app
from petsage.api import OPENAPI_URL
from petsage.checks import Check, Status
from petsage.features import (
    Blueprint,
    ExactBoolean,
    ExactDecimal,
    ExactFloat,
    ExactInteger,
    Refused,
    smoke_check,
)
from petsage.health import init_app


class PetSchema(Schema):
    name = fields.String()
    age = ExactInteger()
    tail = ExactFloat()
    tame = ExactBoolean()
    weight = ExactDecimal()
    tags = fields.List(fields.String())


@pytest.fixture
def client(config):
    blueprint = Blueprint("Pets", __name__, url_prefix="/api/v1")

    @blueprint.route("/pets", methods=["POST"])
    @blueprint.arguments(PetSchema)
    @blueprint.response(201, PetSchema)
    @blueprint.refuses
    def create(given):
        """Create

        A pet
        --- with a dash.
        """
        if given.get("name") == "taken":
            raise Refused(409, "that name is taken")
        if given.get("name") == "broken":
            raise RuntimeError("s3cret")
        return given

    @blueprint.route("/pets")
    @blueprint.arguments(PetSchema, location="query")
    @blueprint.response(200, PetSchema)
    def search(given):
        return given

    app = create_app(config)
    app.config["PROPAGATE_EXCEPTIONS"] = False
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


@pytest.mark.parametrize(
    "number", ["0", "-1.50", "1" * 28, "0.0" + "1" * 27, f"{'1' * 28}.{'1' * 28}"]
)
def test_a_decimal_comes_back_as_the_number_it_is(number):
    field = ExactDecimal()
    written = field.serialize("weight", {"weight": field.deserialize(number)})
    assert Decimal(written) == Decimal(number)
    assert len(written) <= 58


@pytest.mark.parametrize(
    "number",
    ["1" * 29, "1." + "1" * 29, "1e1", "1e999999999", "0e-999999999", "NaN", "-Infinity", "", "1."],
)
def test_a_decimal_that_would_fill_the_memory_is_refused(number):
    with pytest.raises(ValidationError):
        ExactDecimal().deserialize(number)


def test_a_decimal_is_documented_as_the_string_that_it_is(client):
    schema = client.get(OPENAPI_URL).json["components"]["schemas"]["Pet"]
    assert schema["properties"]["weight"] == {
        "type": "string",
        "format": "decimal",
        "pattern": ExactDecimal.PATTERN,
    }


def test_a_docstring_is_documented_to_its_end(client):
    operation = client.get(OPENAPI_URL).json["paths"]["/api/v1/pets"]["post"]
    assert operation["summary"] == "Create"
    assert operation["description"] == "A pet\n--- with a dash."


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("age", wrong) for wrong in ("3", 3.5, True, 1e300 * 1e300)),
        *(("tail", wrong) for wrong in ("4.5", True)),
        *(("tame", wrong) for wrong in ("yes", 1)),
        ("weight", 1.5),
    ],
)
def test_a_value_of_another_json_type_is_refused(client, field, value):
    answer = client.post("/api/v1/pets", json={field: value})
    assert (answer.status_code, [*answer.json["errors"]["json"]]) == (422, [field])


def test_an_integer_is_one_however_json_writes_it(client):
    assert client.post("/api/v1/pets", json={"age": 7.0}).json == {"age": 7}


def test_a_query_is_text_and_refuses_what_it_does_not_know(client):
    answer = client.get("/api/v1/pets?name=Rex&tags=a&tags=b")
    assert answer.json == {"name": "Rex", "tags": ["a", "b"]}
    answer = client.get("/api/v1/pets?nmae=Rex")
    assert (answer.status_code, answer.json["errors"]) == (
        422,
        {"query": {"nmae": ["Unknown field."]}},
    )


@pytest.mark.parametrize(
    "body",
    [
        {f"key_{number}": 1 for number in range(4000)},
        {"x" * 100_000: 1},
        {"tags": list(range(4000))},
        {"age": "x", "tags": list(range(4000)), **{f"key_{n}": 1 for n in range(100)}},
    ],
    ids=["keys", "a long key", "items", "all of it"],
)
def test_an_answer_names_ten_wrong_fields_at_most(client, body):
    answer = client.post("/api/v1/pets", json=body)
    assert answer.status_code == 422
    assert answer.data.count(b'["') <= 10
    assert len(answer.data) < 1000


def test_a_service_refuses_in_the_one_error_shape(client):
    answer = client.post("/api/v1/pets", json={"name": "taken"})
    assert (answer.status_code, answer.json) == (
        409,
        {"code": 409, "status": "Conflict", "message": "that name is taken"},
    )
    documented = client.get(OPENAPI_URL).json["paths"]["/api/v1/pets"]["post"]["responses"]
    assert documented["4XX"] == {"$ref": "#/components/responses/DEFAULT_ERROR"}
    assert documented["501"] == {"$ref": "#/components/responses/NOT_IMPLEMENTED"}


def test_any_other_error_of_a_service_is_a_500_without_a_trace(client):
    answer = client.post("/api/v1/pets", json={"name": "broken"})
    assert (answer.status_code, answer.json["status"]) == (500, "Internal Server Error")
    assert b"s3cret" not in answer.data


@pytest.mark.parametrize("code", [200, 301, 399, 500, 502, 503])
def test_a_service_refuses_with_4xx_or_501_only(code):
    with pytest.raises(ValueError, match=f"not with {code}"):
        Refused(code, "no")


def reported(config, requirements, holds):
    app = Flask(__name__)
    check = Check("vet", smoke_check(requirements, holds), {"smoke"})
    health = init_app(app, [check], config=config)
    (result,) = (one for one in health.report("smoke").results if one.name == "vet")
    return result


def test_open_requirements_are_a_warn_and_the_service_is_not_run(config):
    result = reported(config, ("Ring twice", "Be polite"), lambda: pytest.fail("it is run"))
    assert (result.status, result.reason) == (
        Status.WARN,
        "2 requirements are open: Ring twice; Be polite",
    )


def test_without_open_requirements_the_smoke_check_is_the_features_own(config):
    assert reported(config, (), lambda: None).status is Status.PASS
    assert reported(config, (), lambda: 1 / 0).status is Status.FAIL
