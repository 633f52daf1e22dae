"""The proof of a feature: the project's own tools, the routes, and the OpenAPI document."""

import importlib.util
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen, TimeoutExpired
from typing import Any

from petsage.builder import MAX_LINES, BuildError, project

LIMIT_SECONDS = 120
"""How long a program of the proof may take before it is killed."""

_TOOLS = ("mypy", "openapi_spec_validator", "pytest", "pytest_timeout", "ruff")
_APPLICATION = "petsage.builder.application"
_WITHOUT = ("-pno:cacheprovider", "-pno:schemathesis")  # the latter takes seconds to load


@dataclass(frozen=True, slots=True)
class ApplicationDescription:
    """What a project's application has."""

    routes: Sequence[tuple[str, str | None]]
    """Method and URL, and the feature that answers; None if that is PetSage itself."""
    open_requirements: Mapping[str, Sequence[str]]
    """By feature, the requirements in its `OPEN`."""
    openapi: Mapping[str, Any]


def check_tools(find: Callable[[str], object] = importlib.util.find_spec) -> None:
    """Raises `BuildError` if a tool that the proof runs is not installed."""
    if missing := [name for name in _TOOLS if find(name) is None]:
        raise BuildError(f"the proof needs {', '.join(missing)}: pip install '.[test]'")


def run(programs: Mapping[str, Sequence[str]], root: Path) -> dict[str, CompletedProcess[str]]:
    """Runs `python -m` with the arguments of each program in the project, all at the same time.

    Raises `BuildError` if one takes longer than `LIMIT_SECONDS`. No program outlives the call.
    """
    # With -m the project's own packages are imported, not installed ones. Options for pytest in the
    # environment would change its output, which is read here.
    env = {**os.environ, "PYTEST_ADDOPTS": "", "PYTHONIOENCODING": "utf-8:replace"}
    start = partial(Popen[str], cwd=root, env=env, stdout=PIPE, stderr=PIPE, encoding="utf-8")
    python = [sys.executable, "-B", "-m"]
    deadline = time.monotonic() + LIMIT_SECONDS
    running = {name: start([*python, *programs[name]], errors="replace") for name in programs}
    ended = {}
    try:
        for name, process in running.items():
            # What the others print meanwhile waits in their pipes.
            output = process.communicate(timeout=deadline - time.monotonic())
            ended[name] = CompletedProcess(process.args, process.returncode, *output)
    except TimeoutExpired:
        raise BuildError(f"the proof is not done after {LIMIT_SECONDS} s") from None
    finally:
        for process in running.values():
            process.kill()
    return ended


def application(root: Path) -> ApplicationDescription:
    """What the project's application has. Raises `BuildError` if it cannot be made."""
    return _read_application(run({_APPLICATION: (_APPLICATION,)}, root)[_APPLICATION])


def _read_application(ended: CompletedProcess[str]) -> ApplicationDescription:
    if ended.returncode:
        last = ended.stderr.strip().rpartition("\n")[2]
        raise BuildError(f"the application cannot be made: {last}")
    return ApplicationDescription(**json.loads(ended.stdout))


def prove(root: Path, features: Sequence[str], passed: int | None = None) -> ApplicationDescription:
    """Proves features that are in the project: `passed` tests must pass, if that number is given.

    Returns what the application has. Raises `BuildError` with everything that is red.
    """
    folders = [str(project.folder(feature)) for feature in features]
    tests = [str(project.test_path(feature)) for feature in features]
    modules = (path.relative_to(root) for name in folders for path in (root / name).rglob("*.py"))
    # The tools write no caches: if this run is killed while they go on, the next one can delete the
    # copy at once.
    cache = os.environ.get("MYPY_CACHE_DIR", os.devnull)
    tools = {
        # Files, not folders: in a folder the linter skips files that git ignores.
        "linter": ("ruff", "check", "--no-cache", *tests, *map(str, modules)),
        "type checker": ("mypy", f"--cache-dir={cache}", *folders),
        "test suite": ("pytest", "-q", "--color=no", *_WITHOUT, *tests),
    }
    ended = run({**tools, _APPLICATION: (_APPLICATION,)}, root)
    problems = [_red(name, ended[name]) for name in tools if ended[name].returncode]
    try:
        application = _read_application(ended[_APPLICATION])
    except BuildError as error:
        raise BuildError(*problems, *error.problems) from None
    if not ended["test suite"].returncode:
        open_ = sum(len(application.open_requirements.get(feature, ())) for feature in features)
        problems += _miscounted(ended["test suite"], passed, open_)
    problems += [*_misrouted(application, features), *_invalid(application.openapi)]
    if problems:
        raise BuildError(*problems)
    return application


def _red(name: str, ended: CompletedProcess[str]) -> str:
    lines = (ended.stdout + ended.stderr).strip().splitlines()
    return "\n".join([f"the {name} is red:", *lines[-MAX_LINES:]])


def _miscounted(tests: CompletedProcess[str], passed: int | None, open_: int) -> Iterator[str]:
    # A test that is skipped or not collected proves nothing, though pytest exits with 0.
    expected = f"{passed or 'N'} passed" + (f", {open_} xfailed" if open_ else "")
    last = tests.stdout.strip().rpartition("\n")[2]
    if not re.fullmatch(expected.replace("N", r"\d+") + " in .*", last):
        yield f"the tests are {last!r}, not {expected}"


def _misrouted(application: ApplicationDescription, features: Sequence[str]) -> Iterator[str]:
    # URLs that differ only in the names of their parameters are the same.
    counted = Counter(re.sub("<[^>]*>", "<>", route) for route, _ in application.routes)
    yield from (f"two views answer {route}" for route in counted if counted[route] > 1)
    for feature in set(features) - {feature for _, feature in application.routes}:
        yield f"the application has no route of {feature}"


def _invalid(openapi: Mapping[str, Any]) -> Iterator[str]:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    for error in OpenAPIV31SpecValidator(openapi).iter_errors():
        yield f"the OpenAPI document is not valid: {error.message[:200]}"
