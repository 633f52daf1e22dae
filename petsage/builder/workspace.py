"""The hidden folder of a project where a feature is proven, before it is moved in or out.

    .petsage-feature/
      copy/           the project as it is to be
      undo/FEATURE/   the feature as it was, while it is being replaced

A change is all or nothing: whatever ends a run, `undo` is put back, by that run or the next one.
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
"""Git ignores it, and nobody imports what is in it: its name has a dot."""

_NOT_COPIED = ("__pycache__", "node_modules")


@contextmanager
def locked(root: Path, feature: str) -> Iterator[None]:
    """Keeps other builders out, and clears up before and after.

    Raises `BuildError` if one is at work, or if a folder cannot be written.
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
    # It is known before the proof, and nothing has to be undone that cannot be.
    for path in (root / one for one in folders):
        if path.is_dir() and not os.access(path, os.W_OK):
            raise BuildError(f"{path} cannot be written")


def copy_project(root: Path) -> Path:
    """Copies the project into the workspace, and returns the root of the copy.

    Hidden folders, environments and caches are left out, what nobody can read, and what is no
    file, folder or link.
    """
    _copy(root, root / FOLDER / "copy", _is_copied)
    return root / FOLDER / "copy"


def _is_copied(path: Path) -> bool:
    if not path.is_dir():
        return path.is_symlink() or os.access(path, os.R_OK)
    hidden = path.name.startswith(".") or path.name in _NOT_COPIED
    readable = os.access(path, os.R_OK | os.X_OK)
    return readable and not hidden and not (path / "pyvenv.cfg").exists()


def _copy(source: Path, target: Path, wants: Callable[[Path], bool] = lambda _: True) -> None:
    """Copies a file, a link, or a folder with what is in it that `wants` accepts."""
    if source.is_symlink() or source.is_file():
        shutil.copy2(source, target, follow_symlinks=False)
    elif source.is_dir():
        target.mkdir(parents=True)
        for path in source.iterdir():
            if wants(path):
                _copy(path, target / path.name, wants)


def move_in(root: Path, feature: str, copy: Path, paths: Iterable[PurePosixPath]) -> None:
    """Moves a feature's files from a copy of the project into the project, over those there."""
    with _undone_if_it_fails(root, feature):
        if not files(root, feature):
            _discard(root, folder(feature))  # it has caches at most
            paths = _places(feature)  # at once
        for path in paths:
            (copy / path).rename(root / path)


def move_out(root: Path, feature: str) -> None:
    """Takes a feature out of the project, and what Python has compiled of it."""
    with _undone_if_it_fails(root, feature):
        for path in _places(feature):
            _discard(root, path)
        for cache in (root / TESTS / "__pycache__").glob(f"test_{feature}.*.pyc"):
            cache.unlink()


@contextmanager
def _undone_if_it_fails(root: Path, feature: str) -> Iterator[None]:
    """Saves a feature; unless the block comes to its end, `_clear` puts it back."""
    work = root / FOLDER
    (work / "saved" / feature).mkdir(parents=True)
    for path in _places(feature):
        _copy(root / path, work / "saved" / feature / path.name)
    (work / "saved").rename(work / "undo")
    yield
    (work / "undo").rename(work / "done")


def _places(feature: str) -> tuple[PurePosixPath, ...]:
    # The folder comes last: from then on the application serves the feature.
    return test_path(feature), folder(feature)


def _clear(root: Path) -> None:
    work = root / FOLDER
    shutil.rmtree(work / "copy", ignore_errors=True)  # on a full disk that makes room
    for saved in (work / "undo").glob("*"):
        for path in _places(saved.name):
            _discard(root, path)
            _copy(saved / path.name, root / path)
    if os.path.lexists(work):
        shutil.rmtree(work)


def _discard(root: Path, path: PurePosixPath) -> None:
    # What is killed while it deletes leaves half; a rename is at once.
    if os.path.lexists(root / path):
        (root / path).rename(Path(mkdtemp(dir=root / FOLDER)) / path.name)
