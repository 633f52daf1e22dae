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
from functools import partial
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen, TimeoutExpired
from typing import Any

from petsage.builder import BuildError, project

LIMIT_SECONDS = 120
"""A program that takes longer is killed."""

_TOOLS = ("mypy", "openapi_spec_validator", "pytest", "pytest_timeout", "ruff")
_APPLICATION = "petsage.builder.application"
_WITHOUT = ("-pno:cacheprovider", "-pno:schemathesis")  # the latter takes seconds to load
_MAX_LINES = 40


@dataclass(frozen=True, slots=True)
class Application:
    """What a project's application has."""

    routes: Sequence[tuple[str, str | None]]
    """Method and URL, and the feature that answers; None if it is PetSage's own."""
    open_requirements: Mapping[str, Sequence[str]]
    """By feature: what its `OPEN` has."""
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
    env = {**os.environ, "PYTEST_ADDOPTS": "", "PYTHONIOENCODING": "utf-8:replace"}
    start = partial(Popen[str], cwd=root, env=env, stdout=PIPE, stderr=PIPE, encoding="utf-8")
    python = [sys.executable, "-B", "-m"]
    running = [start([*python, *arguments], errors="replace") for arguments in programs.values()]
    end = partial(Popen[str].communicate, timeout=LIMIT_SECONDS)
    with ThreadPoolExecutor(len(running)) as threads:
        try:
            outputs = list(threads.map(end, running))
        except TimeoutExpired:
            raise BuildError(f"the proof is not done after {LIMIT_SECONDS} s") from None
        finally:
            for one in running:
                one.kill()
    ended = zip(programs, running, outputs, strict=True)
    return {name: CompletedProcess(one.args, one.returncode, *out) for name, one, out in ended}


def application(root: Path) -> Application:
    """Makes the project's application. Raises `BuildError` if it cannot be made."""
    return _read_application(run({_APPLICATION: (_APPLICATION,)}, root)[_APPLICATION])


def _read_application(ended: CompletedProcess[str]) -> Application:
    if ended.returncode:
        last = ended.stderr.strip().rpartition("\n")[2]
        raise BuildError(f"the application cannot be made: {last}")
    return Application(**json.loads(ended.stdout))


def prove(root: Path, features: Sequence[str], passed: int | None = None) -> Application:
    """Proves features that stand in the project, with `passed` tests, if that is known.

    Returns what the application has. Raises `BuildError` with all that is red.
    """
    folders = [str(project.folder(feature)) for feature in features]
    tests = [str(project.test_path(feature)) for feature in features]
    modules = (path.relative_to(root) for one in folders for path in (root / one).rglob("*.py"))
    # They write nothing, so that the next run can remove the copy at once if this one is killed.
    cache = os.environ.get("MYPY_CACHE_DIR", os.devnull)
    tools = {
        # Files, not folders: in a folder the linter leaves out what git ignores.
        "linter": ("ruff", "check", "--no-cache", *tests, *map(str, modules)),
        "type checker": ("mypy", f"--cache-dir={cache}", *folders),
        "test suite": ("pytest", "-q", "--color=no", *_WITHOUT, *tests),
    }
    ended = run({**tools, _APPLICATION: (_APPLICATION,)}, root)
    problems = [_red(name, ended[name]) for name in tools if ended[name].returncode]
    try:
        made = _read_application(ended[_APPLICATION])
    except BuildError as error:
        raise BuildError(*problems, *error.problems) from None
    if not ended["test suite"].returncode:
        problems += _miscounted(ended["test suite"], passed, made, features)
    problems += [*_misplaced(made, features), *_invalid(made.openapi)]
    if problems:
        raise BuildError(*problems)
    return made


def _red(name: str, ended: CompletedProcess[str]) -> str:
    lines = (ended.stdout + ended.stderr).strip().splitlines()
    return "\n".join([f"the {name} is red:", *lines[-_MAX_LINES:]])


def _miscounted(
    tests: CompletedProcess[str], passed: int | None, made: Application, features: Sequence[str]
) -> Iterator[str]:
    # A test that is skipped, or not collected, has proven nothing.
    open_ = sum(len(made.open_requirements.get(feature, ())) for feature in features)
    expected = f"{passed or 'N'} passed" + (f", {open_} xfailed" if open_ else "")
    last = tests.stdout.strip().rpartition("\n")[2]
    if not re.fullmatch(expected.replace("N", r"\d+") + " in .*", last):
        yield f"the tests are {last!r}, not {expected}"


def _misplaced(made: Application, features: Sequence[str]) -> Iterator[str]:
    # Two URLs that differ in the names of their parameters only are one.
    counted = Counter(re.sub("<[^>]*>", "<>", route) for route, _ in made.routes)
    yield from (f"two views answer {route}" for route in counted if counted[route] > 1)
    for feature in set(features) - {feature for _, feature in made.routes}:
        yield f"the application has no route of {feature}"


def _invalid(openapi: Mapping[str, Any]) -> Iterator[str]:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    for error in OpenAPIV31SpecValidator(openapi).iter_errors():
        yield f"the OpenAPI document is not valid: {error.message[:200]}"
