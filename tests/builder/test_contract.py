"""A promise of every type: what the OpenAPI document says is what is answered, and no more."""

import json
import sys
from subprocess import run

from petsage.builder import project, render
from petsage.builder.request import from_json

FIELDS = {
    "bounded_text": {"type": "string!", "minLength": 2, "maxLength": 5, "examples": ["Waldi"]},
    "text": "string",
    "number": {"type": "integer", "minimum": 0, "maximum": 9, "default": 7},
    "any_number": "integer!",
    "share": {"type": "float", "minimum": 0.5},
    "tame": "boolean!",
    "born": "date",
    "seen": "datetime",
    "price": "decimal",
    "chip": "uuid",
    "owner": "email",
    "photo": "url",
    "kind": "enum:guinea pig:cat",
    "tags": "list:string",
    "scores": "list:integer!",
    "prices": "list:decimal",
    "days": "list:date",
}
CONTRACT = """
import schemathesis
from hypothesis import settings
from petsage import create_app
from petsage.config import Config

app = create_app(Config(release="r", instance="i"))
schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)


@schema.include(path_regex="pet-").parametrize()
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_contract(case):
    case.call_and_validate()
"""


def test_schemathesis_finds_nothing_in_a_feature_of_every_type(root):
    for method in ("GET", "POST"):
        request = {"feature": f"pet_{method.lower()}", "description": "d", "method": method}
        asked = from_json(json.dumps(request | {"fields": FIELDS}).encode())
        project.write(root, render.render(asked, root).contents)
    (root / "test_contract.py").write_text(CONTRACT)
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = run([*command, "test_contract.py"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
