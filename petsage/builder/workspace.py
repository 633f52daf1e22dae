"""The hidden folder of a project in which a feature is proven before it is moved in.

    .petsage-feature/
      copy/           the project as it will be after the change
      undo/FEATURE/   the feature as it was, while it is replaced or removed

A change is all or nothing: if a run ends within one, that run or the next one puts `undo` back.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp

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
        _check_writable(root, FEATURES, TESTS, folder(feature))
        _clear(root)
        try:
            yield
        finally:
            _clear(root)


def _check_writable(root: Path, *folders: PurePosixPath) -> None:
    # Checked before the change: in such a folder it could not be undone.
    for path in (root / name for name in folders):
        if path.is_dir() and not os.access(path, os.W_OK):
            raise BuildError(f"{path} cannot be written")


def copy_project(root: Path) -> Path:
    """Copies the project into the workspace, and returns the root of the copy.

    It leaves out hidden folders, virtual environments, caches, what cannot be read, and whatever is
    no file, folder or link. A link to what is not in the copy leads to the same place as before.
    """
    copy = (root / FOLDER / "copy").resolve()
    _copy(root, copy, _is_copied)
    for link in filter(Path.is_symlink, copy.rglob("*")):
        if not (link.exists() and link.resolve().is_relative_to(copy)):
            place = (root / link.relative_to(copy)).parent.resolve() / link.readlink()
            link.unlink()
            link.symlink_to(place)
    return copy


def _is_copied(path: Path) -> bool:
    if not path.is_dir():
        return path.is_symlink() or os.access(path, os.R_OK)
    hidden = path.name.startswith(".") or path.name in _NOT_COPIED
    readable = os.access(path, os.R_OK | os.X_OK)
    return readable and not hidden and not (path / "pyvenv.cfg").exists()


def _copy(source: Path, target: Path, wants: Callable[[Path], bool] = lambda _: True) -> None:
    """Copies a file, a link, or a folder with those of its entries that `wants` accepts."""
    if source.is_symlink() or source.is_file():
        shutil.copy2(source, target, follow_symlinks=False)
    elif source.is_dir():
        target.mkdir(parents=True)
        for path in source.iterdir():
            if wants(path):
                _copy(path, target / path.name, wants)


def move_in(root: Path, feature: str, copy: Path, paths: Iterable[PurePosixPath]) -> None:
    """Moves a feature's files from a copy into the project, and replaces those that are there."""
    with _undone_if_it_fails(root, feature):
        if not files(root, feature):
            _discard(root, folder(feature))  # it holds nothing but caches
            paths = _places(feature)  # the whole folder in one rename
        for path in paths:
            (copy / path).rename(root / path)


def move_out(root: Path, feature: str) -> None:
    """Takes a feature and its bytecode out of the project."""
    with _undone_if_it_fails(root, feature):
        for path in _places(feature):
            _discard(root, path)
        for cache in (root / TESTS / "__pycache__").glob(f"test_{feature}.*.pyc"):
            cache.unlink()


@contextmanager
def _undone_if_it_fails(root: Path, feature: str) -> Iterator[None]:
    """Saves a feature. Unless the block reaches its end, `_clear` puts the feature back."""
    work = root / FOLDER
    (work / "saved" / feature).mkdir(parents=True)
    for path in _places(feature):
        _copy(root / path, work / "saved" / feature / path.name)
    (work / "saved").rename(work / "undo")
    yield
    (work / "undo").rename(work / "done")


def _places(feature: str) -> tuple[PurePosixPath, ...]:
    # The folder comes last: as soon as it is there, the application serves the feature.
    return test_path(feature), folder(feature)


def _clear(root: Path) -> None:
    """Undoes a change that has not ended, and deletes the workspace."""
    work = root / FOLDER
    shutil.rmtree(
        work / "copy", ignore_errors=True
    )  # comes before the undo, which needs room on a full disk
    for saved in (work / "undo").glob("*"):
        for path in _places(saved.name):
            _discard(root, path)
            _copy(saved / path.name, root / path)
    if os.path.lexists(work):
        shutil.rmtree(work)


def _discard(root: Path, path: PurePosixPath) -> None:
    # A rename is one step. A run that is killed while it deletes would leave half of the folder.
    if os.path.lexists(root / path):
        (root / path).rename(Path(mkdtemp(dir=root / FOLDER)) / path.name)
