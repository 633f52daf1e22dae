"""Where the files of a project are, which of a feature's files were edited since it was built, and
how edited files are merged with those of a changed request."""

import ast
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from petsage.builder import MAX_LINES, BuildError
from petsage.json_text import read_json

FEATURES = PurePosixPath("petsage/features")
TESTS = PurePosixPath("tests/features")
RECORD = "request.json"
"""The file in a feature's folder that holds its request and its files as they were built."""

_MODULES = ("__init__.py", "schemas.py", "service.py", "views.py", "README.md")
_NEEDED = ("petsage/api.py", FEATURES / "__init__.py", TESTS / "__init__.py", "setup.cfg")
_NAME = re.compile(rb"^name\s*=\s*petsage\s*$", re.MULTILINE)
_OPEN = re.compile(rb"^OPEN: tuple\[str, \.\.\.\] = (\(.*?\))$", re.MULTILINE | re.DOTALL)
_CONFLICT = re.compile(rb"^<{7} .*?^>{7} .*?$", re.MULTILINE | re.DOTALL)

Contents = Mapping[PurePosixPath, bytes]
"""The content of each file, by its path below the project's root."""


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """What a feature was built from."""

    request: Mapping[str, Any]
    files: Contents
    """The content of each file as it was built."""


def folder(feature: str) -> PurePosixPath:
    """The folder of a feature."""
    return FEATURES / feature


def test_path(feature: str) -> PurePosixPath:
    """The file of a feature's tests."""
    return TESTS / f"test_{feature}.py"


def built_files(feature: str) -> tuple[PurePosixPath, ...]:
    """Every file that is built for a feature, without its record."""
    return (*(folder(feature) / name for name in _MODULES), test_path(feature))


def check_root(root: Path) -> None:
    """Raises `BuildError` unless `root` is the root of a PetSage project."""
    missing = [name for name in _NEEDED if not (root / name).is_file()]
    reason = f"{missing[0]} is missing" if missing else "setup.cfg does not name petsage"
    if missing or not _NAME.search((root / "setup.cfg").read_bytes()):
        raise BuildError(f"this folder is not the root of a PetSage project: {reason}")
    for path in (FEATURES, TESTS):
        if (root / path).resolve() != root.resolve() / path:
            raise BuildError(f"{path} is behind a symbolic link: nothing is written there")


def record(root: Path, feature: str) -> BuildRecord | None:
    """The record of a feature; None if there is none, or none that can be read."""
    path = root / folder(feature) / RECORD
    is_name = re.fullmatch(r"\w{1,64}", feature)  # anything else may be a path
    if not is_name or path.parent.is_symlink() or not path.is_file():
        return None
    try:
        request = read_json(path.read_bytes())
        texts = request.pop("files").items()
        files = {PurePosixPath(path): text.encode(errors="replace") for path, text in texts}
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None
    return BuildRecord(request, files)


def features(root: Path) -> list[str]:
    """The names of all features, sorted."""
    inits = (root / FEATURES).glob("*/__init__.py")
    return sorted(path.parent.name for path in inits if path.parent.name.isidentifier())


def files(root: Path, feature: str) -> set[PurePosixPath]:
    """Every file and link in a feature's folder, at any depth, without caches."""
    entries = (root / folder(feature)).rglob("*")
    below = (path for path in entries if path.is_symlink() or not path.is_dir())
    paths = {PurePosixPath(path.relative_to(root)) for path in below}
    return {path for path in paths if "__pycache__" not in path.parts}


def taken(root: Path, feature: str) -> Iterator[PurePosixPath]:
    """The paths of a feature to be built that exist already. A folder that holds nothing but
    caches, as git leaves it behind, does not count."""
    path = root / folder(feature)
    if os.path.lexists(path) and (path.is_symlink() or path.is_file() or files(root, feature)):
        yield folder(feature)
    if os.path.lexists(root / test_path(feature)):
        yield test_path(feature)


def edited(root: Path, feature: str) -> tuple[PurePosixPath, ...]:
    """The feature's files that are not as they were built: changed, added or deleted."""
    paths = files(root, feature)
    if built := record(root, feature):
        paths = paths.union(built_files(feature)) - {folder(feature) / RECORD}
        paths -= {path for path, text in built.files.items() if content(root / path) == text}
    return tuple(sorted(paths))


def content(path: Path) -> bytes | None:
    """A file's content, with line ends as they were built (LF); None if it is no file."""
    return path.read_bytes().replace(b"\r\n", b"\n") if path.is_file() else None


def open_statement(service: bytes) -> tuple[bytes, set[str]] | None:
    """The statement that assigns `OPEN` in a service, and the requirements in it; None if there is
    no statement that can be read."""
    try:
        match = _OPEN.search(service)
        return (match[0], set(ast.literal_eval(match[1].decode()))) if match else None
    except (SyntaxError, ValueError):
        return None


def write(root: Path, contents: Contents) -> None:
    """Writes files below `root`. Raises `OSError`."""
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def merged(root: Path, record: BuildRecord, requested: Contents) -> Contents:
    """The files of a changed request, merged with all edits since the feature was built.

    Raises `BuildError` that shows each conflict.
    """
    contents: dict[PurePosixPath, bytes | None] = {}
    problems: list[str] = []
    for path in requested:
        try:
            contents[path] = _merged(root, path, record, requested[path])
        except BuildError as error:
            problems += error.problems
    if problems:
        raise BuildError(*problems)
    return {path: content for path, content in contents.items() if content is not None}


def _merged(root: Path, path: PurePosixPath, record: BuildRecord, requested: bytes) -> bytes | None:
    """The content of one file; None if it was deleted and the request does not change it."""
    edited, built = content(root / path), record.files.get(path, b"")
    if (root / path).is_symlink():
        raise BuildError(f"{path} is a symbolic link")
    if edited == built or path.name == RECORD:
        return requested
    if requested == built:
        return edited
    if edited is None:
        raise BuildError(f"{path} is deleted here, and the request changes it")
    # The requested `OPEN` leaves the kept requirements out too. With the edited one as their common
    # base, the merge takes it without a conflict.
    if statement := open_statement(edited):
        built = _OPEN.sub(lambda _: statement[0], built)
    merged = _merged_by_git(path, edited, built, requested)
    # A checkout may have CRLF as line ends.
    crlf = b"\r\n" in (root / path).read_bytes()
    return merged.replace(b"\n", b"\r\n") if crlf else merged


def _merged_by_git(path: PurePosixPath, edited: bytes, built: bytes, requested: bytes) -> bytes:
    with TemporaryDirectory() as folder:
        versions = {"edited": edited, "built": built, "requested": requested}
        for name, content in versions.items():
            Path(folder, name).write_bytes(content)
        command = ["git", "merge-file", "-p", *versions]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, check=False)  # noqa: S603
        except FileNotFoundError:
            raise BuildError(f"{path} is edited: to merge that, install git") from None
    if done.returncode:
        conflicts = b"\n".join(_CONFLICT.findall(done.stdout)) or done.stderr
        lines = conflicts.decode(errors="replace").splitlines()[:MAX_LINES]
        raise BuildError("\n".join([f"{path} is edited where the request changes it:", *lines]))
    return done.stdout
