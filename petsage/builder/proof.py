"""What a written feature must stand before it is kept: the project's own tools, and its routes."""

import importlib.util
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from petsage.builder import BuildError, plan, programs, project
from petsage.builder.plan import Plan
from petsage.builder.programs import Ended
from petsage.builder.project import Route

_TOOLS = ("mypy", "openapi_spec_validator", "pytest", "pytest_timeout", "ruff")
_MAX_LINES = 40


def check_tools(find: Callable[[str], object] = importlib.util.find_spec) -> None:
    """Raises `BuildError` if a tool of the proof is not installed."""
    if missing := [name for name in _TOOLS if find(name) is None]:
        raise BuildError(f"the proof needs {', '.join(missing)}: pip install 'petsage[test]'")


def prove(root: Path, planned: Plan, obey: Callable[[], None]) -> None:
    """Proves a feature that stands in the project; `obey` raises when that has to end early.

    Raises `BuildError` with all that is red.
    """
    feature = planned.request.feature
    folder, test = plan.folder(feature), plan.test_path(feature)
    tools = {
        "linter": f"ruff check --no-cache {folder} {test}".split(),
        "type checker": f"mypy --cache-dir={os.devnull} {folder}".split(),
        # Both plugins make folders in the project.
        "tests": f"pytest -q --color=no -p no:cacheprovider -p no:benchmark {test}".split(),
    }
    ended = programs.run({**tools, "application": (project.PROGRAM,)}, root, obey)
    problems = [_told(name, ended[name]) for name in tools if ended[name].code]
    if not ended["tests"].code:
        problems += _miscounted(ended["tests"], planned.tests)
    try:
        application = project.read_application(ended["application"])
    except BuildError as error:
        problems += error.problems
    else:
        problems += _misplaced(application.routes, planned.route)
        problems += _invalid(application.openapi)
    if problems:
        raise BuildError(*problems)


def _told(name: str, ended: Ended) -> str:
    lines = (ended.output + ended.errors).strip().splitlines()
    return "\n".join([f"the {name} is red:", *lines[-_MAX_LINES:]])


def _miscounted(tests: Ended, wanted: int) -> Iterator[str]:
    """A test that is skipped, or not collected, has proven nothing."""
    last = tests.output.strip().rpartition("\n")[2]
    if not re.fullmatch(rf"{wanted} passed in \S+", last):
        yield f"the tests are {last!r}, not {wanted} passed"


def _misplaced(routes: tuple[Route, ...], wanted: str) -> Iterator[str]:
    places = Counter(f"{method} {route.place}" for route in routes for method in route.methods)
    yield from (f"the route {place} is taken twice" for place in places if places[place] > 1)
    if wanted not in places:
        yield f"the application has no route {wanted}"


def _invalid(openapi: Mapping[str, Any]) -> Iterator[str]:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    for error in OpenAPIV31SpecValidator(openapi).iter_errors():
        yield f"the OpenAPI document is not valid: {error.message[:200]}"
