"""What stands where in a project, and which of a feature's files are as they were built."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from petsage.builder import BuildError
from petsage.builder.request import MAX_BYTES
from petsage.json_text import read_json

FEATURES = PurePosixPath("petsage/features")
TESTS = PurePosixPath("tests/features")
RECORD = "request.json"
"""The file of a feature that keeps what it was built from."""

_MODULES = ("__init__.py", "schemas.py", "service.py", "views.py", "README.md")
_NEEDED = ("petsage/api.py", FEATURES / "__init__.py", TESTS / "__init__.py", "setup.cfg")
_NAMED = re.compile(rb"^name\s*=\s*petsage\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Record:
    """What a feature was built from."""

    request: Mapping[str, Any]
    files: Mapping[str, str]
    """The text of each file as it was built, by the file's path."""


def folder(feature: str) -> PurePosixPath:
    """The folder of a feature."""
    return FEATURES / feature


def test_path(feature: str) -> PurePosixPath:
    """The file of a feature's tests."""
    return TESTS / f"test_{feature}.py"


def built_files(feature: str) -> tuple[PurePosixPath, ...]:
    """Every file that is built for a feature, its record excepted."""
    return (*(folder(feature) / name for name in _MODULES), test_path(feature))


def check_root(root: Path) -> None:
    """Raises `BuildError` unless `root` is the root of a PetSage project."""
    missing = [name for name in _NEEDED if not (root / name).is_file()]
    reason = f"{missing[0]} is missing" if missing else "setup.cfg does not name petsage"
    if missing or not _NAMED.search((root / "setup.cfg").read_bytes()):
        raise BuildError(f"this folder is not the root of a PetSage project: {reason}")
    for path in (FEATURES, TESTS):
        if (root / path).resolve() != root.resolve() / path:
            raise BuildError(f"{path} is behind a symbolic link: nothing is written there")


def record(root: Path, feature: str) -> Record | None:
    """The record of a feature; None if there is none that can be read."""
    path = root / folder(feature) / RECORD
    is_name = re.fullmatch(r"\w{1,64}", feature)  # any other may be a path
    if not is_name or path.parent.is_symlink() or not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            request = read_json(file.read(MAX_BYTES))
        files = request.pop("files")
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None
    readable = isinstance(files, dict) and all(isinstance(text, str) for text in files.values())
    return Record(request, files) if readable else None


def features(root: Path) -> list[str]:
    """The names of the features that are there, in order."""
    inits = (root / FEATURES).glob("*/__init__.py")
    return sorted(path.parent.name for path in inits if path.parent.name.isidentifier())


def edited(root: Path, feature: str) -> tuple[PurePosixPath, ...]:
    """The feature's files that are not as they were built: changed, added or missing."""
    there = {path.relative_to(root) for path in (root / folder(feature)).rglob("*")}
    files = {PurePosixPath(path) for path in there if not (root / path).is_dir()}
    files = {path for path in files if "__pycache__" not in path.parts}
    if kept := record(root, feature):
        files = files.union(built_files(feature)) - {folder(feature) / RECORD}
        files = {path for path in files if content(root / path) != built_content(kept, path)}
    return tuple(sorted(files))


def content(path: Path) -> bytes | None:
    """A file's content, with the line ends that it was built with; None if it is no file."""
    return path.read_bytes().replace(b"\r\n", b"\n") if path.is_file() else None


def built_content(kept: Record, path: PurePosixPath) -> bytes:
    """A file's content as it was built."""
    return kept.files.get(str(path), "").encode(errors="replace")
