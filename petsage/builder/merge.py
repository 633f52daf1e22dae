"""Merges what somebody has edited with what a changed request makes of a feature."""

import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from petsage.builder import BuildError, project
from petsage.builder.project import Record
from petsage.builder.render import FeatureFiles

_CONFLICT = re.compile(rb"^<{7} .*?^>{7} .*?$", re.MULTILINE | re.DOTALL)
_MAX_LINES = 40


def merge(root: Path, kept: Record, new: FeatureFiles) -> FeatureFiles:
    """The files of a changed request, with all that was edited since the feature was built.

    Raises `BuildError` that shows each conflict.
    """
    contents: dict[PurePosixPath, bytes | None] = {}
    problems: list[str] = []
    for path, requested in new.contents.items():
        try:
            contents[path] = _merged(root, path, kept, requested)
        except BuildError as error:
            problems += error.problems
    if problems:
        raise BuildError(*problems)
    record = project.folder(new.request.feature) / project.RECORD
    merged = {path: content for path, content in contents.items() if content is not None}
    return FeatureFiles(new.request, merged | {record: new.contents[record]})


def _merged(root: Path, path: PurePosixPath, kept: Record, requested: bytes) -> bytes | None:
    edited, built = project.content(root / path), project.built_content(kept, path)
    if (root / path).is_symlink():
        raise BuildError(f"{path} is a symbolic link")
    if edited == built or path.name == project.RECORD:
        return requested
    if requested == built:
        return edited
    if edited is None:
        raise BuildError(f"{path} is deleted here, and the request changes it")
    merged = _three_ways(path, edited, built, requested)
    # As the file stands in this checkout.
    crlf = b"\r\n" in (root / path).read_bytes()
    return merged.replace(b"\n", b"\r\n") if crlf else merged


def _three_ways(path: PurePosixPath, edited: bytes, built: bytes, requested: bytes) -> bytes:
    git = shutil.which("git")
    if git is None:
        raise BuildError(f"{path} is edited: to merge that, install git")
    with TemporaryDirectory() as folder:
        versions = {"edited": edited, "built": built, "requested": requested}
        for name, content in versions.items():
            Path(folder, name).write_bytes(content)
        command = [git, "merge-file", "-p", *versions]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)  # noqa: S603
    conflicts = _CONFLICT.findall(done.stdout)
    if done.returncode:
        shown = b"\n".join(conflicts) or done.stderr
        lines = shown.decode(errors="replace").splitlines()[:_MAX_LINES]
        raise BuildError("\n".join([f"{path} is edited where the request changes it:", *lines]))
    return done.stdout
