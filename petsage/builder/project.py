"""The project that a feature is built in: what is there."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from petsage.builder import BuildError, plan, programs
from petsage.builder.programs import Ended

_NEEDED = ("petsage/api.py", plan.FEATURES / "__init__.py", plan.TESTS / "__init__.py", "setup.cfg")
_NAMED = re.compile(rb"^name\s*=\s*petsage\s*$", re.MULTILINE)
PROGRAM = "petsage.builder.application"
"""It runs in the project, and tells what the application has."""

_MAX_NOTE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Route:
    """A URL that the application answers, and with which methods."""

    methods: tuple[str, ...]
    url: str
    feature: str | None
    """Whose it is; None if it is PetSage's own."""

    def __str__(self) -> str:
        return f"{','.join(self.methods)} {self.url}"

    @property
    def place(self) -> str:
        """The URL without the names of its parameters: two such routes are one."""
        return re.sub("<[^>]*>", "<>", self.url)


@dataclass(frozen=True, slots=True)
class Application:
    """What the project's application has."""

    routes: tuple[Route, ...]
    openapi: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Built:
    """A feature as its `request.json` has it."""

    request: Mapping[str, Any]
    hashes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Feature:
    """What is to be known of a feature that is there."""

    feature: str
    routes: tuple[str, ...]
    open_requirements: int
    edited: tuple[str, ...]
    """Its files that are not as they were built: changed, added or gone."""

    def __str__(self) -> str:
        edits = [f"edited: {', '.join(self.edited)}"] if self.edited else []
        told = f"open requirements: {self.open_requirements}"
        return "  ".join([self.feature, *self.routes, told, *edits])


def check_root(root: Path) -> None:
    """Raises `BuildError` unless `root` is the root of a PetSage project."""
    missing = [name for name in _NEEDED if not (root / name).is_file()]
    what = f"{missing[0]} is missing" if missing else "setup.cfg does not name petsage"
    if missing or not _NAMED.search((root / "setup.cfg").read_bytes()):
        raise BuildError(f"this folder is not the root of a PetSage project: {what}")


def application(root: Path) -> Application:
    """Makes the project's application. Raises `BuildError` if it cannot be made."""
    return read_application(programs.run({PROGRAM: (PROGRAM,)}, root)[PROGRAM])


def read_application(ended: Ended) -> Application:
    """Reads what `PROGRAM` has told. Raises `BuildError` if it failed."""
    if ended.code:
        last = ended.errors.strip().rpartition("\n")[2]
        raise BuildError(f"the application cannot be made: {last}")
    told = json.loads(ended.output)
    routes = (Route(tuple(r["methods"]), r["url"], r["feature"]) for r in told["routes"])
    return Application(tuple(routes), told["openapi"])


def built(root: Path, feature: str) -> Built | None:
    """What the builder noted of a feature; None if it did not build it, or the note is spoilt."""
    if not re.fullmatch(r"\w+", feature):  # it is no path
        return None
    try:
        with (root / plan.folder(feature) / plan.REQUEST_FILE).open("rb") as file:
            request = json.loads(file.read(_MAX_NOTE_BYTES))
        hashes = request.pop("files")
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None
    return Built(request, hashes) if isinstance(hashes, dict) else None


def features(root: Path) -> list[str]:
    """The names of the features that are there, in order."""
    inits = (root / plan.FEATURES).glob("*/__init__.py")
    return sorted(path.parent.name for path in inits if path.parent.name.isidentifier())


def unchanged(root: Path, feature: str, noted: Built) -> tuple[PurePosixPath, ...]:
    """The feature's files that are as they were built."""
    digests = ((path, _digest(root / path)) for path in plan.paths(feature))
    return tuple(path for path, digest in digests if digest == noted.hashes.get(str(path), ""))


def edited(root: Path, feature: str) -> tuple[PurePosixPath, ...]:
    """The feature's files that are not as they were built: changed, added or gone."""
    there = {path.relative_to(root) for path in (root / plan.folder(feature)).rglob("*")}
    files = {PurePosixPath(path) for path in there if (root / path).is_file()}
    files = {path for path in files if "__pycache__" not in path.parts}
    if noted := built(root, feature):
        note = plan.folder(feature) / plan.REQUEST_FILE
        files = files.union(plan.paths(feature)).difference(unchanged(root, feature, noted), [note])
    return tuple(sorted(files))


def _digest(path: Path) -> str | None:
    try:
        return plan.digest(path.read_bytes())
    except OSError:
        return None


def inventory(root: Path) -> tuple[Feature, ...]:
    """Every feature there is. Raises `BuildError` if the application cannot be made."""
    routes = application(root).routes
    return tuple(
        Feature(
            name,
            tuple(str(route) for route in routes if route.feature == name),
            _open_requirements(root / plan.folder(name) / "README.md"),
            tuple(map(str, edited(root, name))),
        )
        for name in features(root)
    )


def _open_requirements(readme: Path) -> int:
    try:
        lines = readme.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return sum(line.startswith("- [ ] ") for line in lines)
