"""What a feature must pass before it is kept: the project's own tools, its routes, its document."""

import importlib.util
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen, TimeoutExpired
from typing import Any, NamedTuple

from petsage.builder import BuildError, project
from petsage.builder.render import FeatureFiles

LIMIT_SECONDS = 120
"""A program that takes longer is killed."""

_TOOLS = ("mypy", "openapi_spec_validator", "pytest", "pytest_timeout", "ruff")
_APPLICATION = "petsage.builder.application"
_MAX_LINES = 40


class Route(NamedTuple):
    """A method and a URL that the application answers."""

    method: str
    url: str
    feature: str | None
    """The feature that it belongs to; None if it is PetSage's own."""

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


@dataclass(frozen=True, slots=True)
class Application:
    """What a project's application has."""

    routes: tuple[Route, ...]
    openapi: Mapping[str, Any]


def check_tools(find: Callable[[str], object] = importlib.util.find_spec) -> None:
    """Raises `BuildError` if a tool of the proof is not installed."""
    if missing := [name for name in _TOOLS if find(name) is None]:
        raise BuildError(f"the proof needs {', '.join(missing)}: pip install '.[test]'")


def run(programs: Mapping[str, Sequence[str]], root: Path) -> dict[str, CompletedProcess[str]]:
    """Runs `python -m` with each of these arguments in the project, all at once.

    Raises `BuildError` if one takes too long. No program outlives the call.
    """
    # -m puts the working directory before what is installed. Options that the environment has for
    # pytest would change what it prints.
    python, env = [sys.executable, "-B", "-m"], {**os.environ, "PYTEST_ADDOPTS": ""}
    running = {
        name: Popen(  # noqa: S603
            [*python, *arguments], cwd=root, env=env, stdout=PIPE, stderr=PIPE, errors="replace"
        )
        for name, arguments in programs.items()
    }
    with ThreadPoolExecutor(len(running)) as threads:
        try:
            ended = threads.map(
                lambda one: one.communicate(timeout=LIMIT_SECONDS), running.values()
            )
            outputs = dict(zip(running, ended, strict=True))
        except TimeoutExpired:
            raise BuildError(f"the proof is not done after {LIMIT_SECONDS} s") from None
        finally:
            for one in running.values():
                one.kill()
    return {
        name: CompletedProcess(one.args, one.returncode, *outputs[name])
        for name, one in running.items()
    }


def application(root: Path) -> Application:
    """Makes the project's application. Raises `BuildError` if it cannot be made."""
    return _read_application(run({_APPLICATION: (_APPLICATION,)}, root)[_APPLICATION])


def _read_application(ended: CompletedProcess[str]) -> Application:
    if ended.returncode:
        last = ended.stderr.strip().rpartition("\n")[2]
        raise BuildError(f"the application cannot be made: {last}")
    read = json.loads(ended.stdout)
    return Application(tuple(Route(*route) for route in read["routes"]), read["openapi"])


def prove(root: Path, files: FeatureFiles) -> None:
    """Proves a feature that stands in the project. Raises `BuildError` with all that is red."""
    feature = files.request.feature
    test = str(project.test_path(feature))
    modules = [str(path) for path in files.contents if path.suffix == ".py"]
    tools = {
        # Files, not folders: in a folder the linter leaves out what git ignores.
        "linter": ("ruff", "check", *modules),
        "type checker": ("mypy", str(project.folder(feature))),
        "tests": ("pytest", "-q", "--color=no", test),
    }
    ended = run({**tools, _APPLICATION: (_APPLICATION,)}, root)
    problems = [_red(name, ended[name]) for name in tools if ended[name].returncode]
    if not ended["tests"].returncode:
        problems += _miscounted(ended["tests"], files.tests)
    try:
        made = _read_application(ended[_APPLICATION])
    except BuildError as error:
        problems += error.problems
    else:
        problems += [*_misplaced(made.routes, files.route), *_invalid(made.openapi)]
    if problems:
        raise BuildError(*problems)


def _red(name: str, ended: CompletedProcess[str]) -> str:
    lines = (ended.stdout + ended.stderr).strip().splitlines()
    return "\n".join([f"the {name} is red:", *lines[-_MAX_LINES:]])


def _miscounted(tests: CompletedProcess[str], expected: int) -> Iterator[str]:
    # A test that is skipped, or not collected, has proven nothing.
    last = tests.stdout.strip().rpartition("\n")[2]
    if not re.fullmatch(rf"{expected} passed in \S+", last):
        yield f"the tests are {last!r}, not {expected} passed"


def _misplaced(routes: tuple[Route, ...], expected: str) -> Iterator[str]:
    # Two URLs that differ in the names of their parameters only are one.
    counted = Counter(re.sub("<[^>]*>", "<>", str(route)) for route in routes)
    yield from (f"two views answer {route}" for route in counted if counted[route] > 1)
    if expected not in counted:
        yield f"the application has no route {expected}"


def _invalid(openapi: Mapping[str, Any]) -> Iterator[str]:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    for error in OpenAPIV31SpecValidator(openapi).iter_errors():
        yield f"the OpenAPI document is not valid: {error.message[:200]}"
