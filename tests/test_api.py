"""Promises of the v1 API's OpenAPI document, its docs, and the discovery of features."""

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from petsage import create_app
from petsage.api import OPENAPI_URL


@pytest.fixture
def client(config):
    return create_app(config).test_client()


@pytest.fixture
def document(client):
    return client.get(OPENAPI_URL).json


def test_the_document_is_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_the_smoke_test_is_documented(document):
    operation = document["paths"]["/api/v1/smoke-test"]["get"]
    assert operation["tags"] == ["Health & Status"]
    assert operation["summary"] == "Perform a System Smoke Test"
    assert "end to end" in operation["description"]
    assert set(operation["responses"]) >= {"200", "503"}


@pytest.mark.parametrize(
    ("code", "example"),
    [
        (
            "200",
            {
                "status": "ok",
                "message": "PetSage Smoke Test: Success!",
                "feature": "smoke_test",
            },
        ),
        (
            "503",
            {
                "status": "error",
                "message": "PetSage Smoke Test: Failed!",
                "feature": "smoke_test",
                "failed": ["database"],
            },
        ),
    ],
)
def test_its_answers_have_examples(document, code, example):
    responses = document["paths"]["/api/v1/smoke-test"]["get"]["responses"]
    assert responses[code]["content"]["application/json"]["example"] == example


def test_the_documented_example_is_what_is_answered(client, document):
    responses = document["paths"]["/api/v1/smoke-test"]["get"]["responses"]
    documented = responses["200"]["content"]["application/json"]["example"]
    assert client.get("/api/v1/smoke-test").json == documented


@pytest.mark.parametrize("path", ["/docs/../setup.cfg", "/docs/%2e%2e/flask_swagger_ui.py"])
def test_the_docs_serve_nothing_but_their_own_assets(client, path):
    assert client.get(path).status_code == 404
