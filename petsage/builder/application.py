"""A program that prints as JSON what a project's application has.

It is a program of its own, so that it imports the copy of the project in which it runs.
"""

import json
import sys
from contextlib import redirect_stdout
from typing import Any

from flask import Flask

from petsage import create_app, features
from petsage.api import OPENAPI_URL
from petsage.config import Config


def describe(app: Flask) -> dict[str, Any]:
    """The routes (each with the feature whose view answers it), the open requirements of each
    feature, and the OpenAPI document."""
    package = f"{features.__name__}."
    owners = {name: name.split(".")[2] for name in sys.modules if name.startswith(package)}
    return {
        "routes": [
            (f"{method} {rule.rule}", owners.get(app.view_functions[rule.endpoint].__module__))
            for rule in app.url_map.iter_rules()
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ],
        "open_requirements": {
            owner: [*map(str, sys.modules[name].OPEN)]
            for name, owner in owners.items()
            if name.endswith(".service") and hasattr(sys.modules[name], "OPEN")
        },
        "openapi": app.test_client().get(OPENAPI_URL).json,
    }


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):  # a feature may print while it is imported
        described = describe(create_app(Config()))
    json.dump(described, sys.stdout)
