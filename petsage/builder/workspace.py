"""The hidden folder of a project in which a feature is proven before it is moved in.

    .petsage-feature/
      copy/          the project as it will be after the change
      in/            the files to move in, each at its path below the project's root
      out/FEATURE/   the folder of a feature that is removed

A change is all or nothing: the rename that makes `in`, or a folder in `out`, decides it. If a run
ends before, nothing has changed; if it ends after, that run or the next one carries the change out.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from petsage.builder import BuildError
from petsage.builder.project import FEATURES, TESTS, files, folder, test_path

FOLDER = ".petsage-feature"
"""Git ignores it, and Python cannot import from it, since its name has a dot."""

_NOT_COPIED = ("__pycache__", "node_modules")


@contextmanager
def locked(root: Path, feature: str) -> Iterator[None]:
    """Keeps other builders out during the block, and clears the workspace before and after it.

    Raises `BuildError` if another builder is at work, or if a folder cannot be written.
    """
    with (root / FEATURES / "__init__.py").open() as held:
        try:
            # The kernel frees the lock even after a `kill -9`.
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BuildError("another builder is at work here; wait until it is done") from None
        # Checked before the change: once it is decided, it must be possible.
        for path in (root / FEATURES, root / TESTS, root / folder(feature)):
            if path.is_dir() and not os.access(path, os.W_OK):
                raise BuildError(f"{path} cannot be written")
        _clear(root)
        try:
            yield
            _carry_out(root)
        finally:
            _clear(root)


def copy_project(root: Path) -> Path:
    """Copies the project into the workspace, and returns the root of the copy.

    It leaves out hidden folders, virtual environments, caches, what cannot be read, and whatever is
    no file, folder or link. A link to what is not in the copy leads to the same place as before.
    """
    copy = (root / FOLDER / "copy").resolve()
    _copy(root, copy)
    for link in filter(Path.is_symlink, copy.rglob("*")):
        if not (link.exists() and link.resolve().is_relative_to(copy)):
            place = (root / link.relative_to(copy)).parent.resolve() / link.readlink()
            link.unlink()
            link.symlink_to(place)
    return copy


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for path in filter(_is_copied, source.iterdir()):
        if path.is_dir() and not path.is_symlink():
            _copy(path, target / path.name)
        else:
            shutil.copy2(path, target / path.name, follow_symlinks=False)


def _is_copied(path: Path) -> bool:
    if not path.is_dir():
        return path.is_symlink() or (path.is_file() and os.access(path, os.R_OK))
    hidden = path.name.startswith(".") or path.name in _NOT_COPIED
    readable = os.access(path, os.R_OK | os.X_OK)
    return readable and not hidden and not (path / "pyvenv.cfg").exists()


def move_in(root: Path, feature: str, copy: Path, paths: Iterable[PurePosixPath]) -> None:
    """Decides that a feature's files move from a copy into the project, over those there."""
    if not files(root, feature):
        shutil.rmtree(root / folder(feature), ignore_errors=True)  # it holds nothing but caches
    staged = root / FOLDER / "staged"
    for path in paths:
        (staged / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).rename(staged / path)
    staged.rename(staged.with_name("in"))


def move_out(root: Path, feature: str) -> None:
    """Moves a feature's folder out of the project, which decides that its tests go too."""
    out = root / FOLDER / "out"
    out.mkdir(parents=True)
    (root / folder(feature)).rename(out / feature)


def _carry_out(root: Path) -> None:
    """Carries out a change that is decided, from wherever an earlier run has left it."""
    work = root / FOLDER
    if (work / "in").is_dir():
        _move(work / "in", root)
    for feature in (path.name for path in (work / "out").glob("*")):
        (root / test_path(feature)).unlink(missing_ok=True)
        for cache in (root / TESTS / "__pycache__").glob(f"test_{feature}.*.pyc"):
            cache.unlink()


def _move(source: Path, target: Path) -> None:
    """Moves a file or folder, in one rename where possible; of a folder that is there already, only
    what the source holds is replaced."""
    if source.is_dir() and target.is_dir():
        for path in source.iterdir():
            _move(path, target / path.name)
    else:
        shutil.move(source, target)


def _clear(root: Path) -> None:
    """Carries out a change that is decided, and deletes the workspace."""
    work = root / FOLDER
    shutil.rmtree(work / "copy", ignore_errors=True)  # first: on a full disk this makes room
    _carry_out(root)
    if os.path.lexists(work):
        shutil.rmtree(work)
