"""The hidden folder of a project where a feature is proven, before it is moved in or out.

    .petsage-feature/
      copy/           the project as it is to be
      undo/FEATURE/   the feature as it was, while it is being replaced

A change is all or nothing: whatever ends a run, `undo` is put back, by that run or the next one.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from petsage.builder import BuildError
from petsage.builder.project import FEATURES, TESTS, folder, test_path

FOLDER = ".petsage-feature"
"""Git ignores it, and nobody imports what is in it: its name has a dot."""

_NOT_COPIED = ("__pycache__", "node_modules")


@contextmanager
def locked(root: Path, feature: str) -> Iterator[None]:
    """Keeps other builders out, and clears up before and after.

    Raises `BuildError` if one is at work, or in place of an `OSError`.
    """
    try:
        with _lock(root / FEATURES):
            _check_writable(root, FEATURES, TESTS, folder(feature))
            _clear(root)
            try:
                yield
            finally:
                _clear(root)
    except OSError as error:
        where = error.filename or "the project"
        raise BuildError(f"cannot write {where}: {error.strerror}; nothing is changed") from error


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    # The lock is on the folder itself, and the kernel frees it even after a `kill -9`.
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BuildError("another builder is at work here; wait until it is done") from None
    finally:
        os.close(held)


def _check_writable(root: Path, *folders: PurePosixPath) -> None:
    # It is known before the proof, and nothing has to be undone that cannot be.
    for path in (root / one for one in folders):
        if path.is_dir() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def copy_project(root: Path) -> Path:
    """Copies the project into the workspace, and returns the root of the copy.

    Hidden folders, environments and caches are left out, and what is no file, folder or link.
    """
    _copy(root, root / FOLDER / "copy", _is_copied)
    return root / FOLDER / "copy"


def _is_copied(path: Path) -> bool:
    hidden = path.name.startswith(".") or path.name in _NOT_COPIED
    return not hidden and not (path / "pyvenv.cfg").exists()


def _copy(source: Path, target: Path, enter: Callable[[Path], bool] = lambda _: True) -> None:
    """Copies a file, a link, or a folder with those folders in it that `enter` accepts."""
    if source.is_symlink() or source.is_file():
        shutil.copy2(source, target, follow_symlinks=False)
    elif source.is_dir():
        target.mkdir(parents=True)
        for path in source.iterdir():
            if not path.is_dir() or enter(path):
                _copy(path, target / path.name, enter)


def move_in(root: Path, feature: str, copy: Path, paths: Iterable[PurePosixPath]) -> None:
    """Moves a feature's files from a copy of the project into the project, over those there."""
    with _undone_if_it_fails(root, feature):
        if not (root / folder(feature)).exists():
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
    saved = work / "saved" / feature
    saved.mkdir(parents=True)
    for path in _places(feature):
        _copy(root / path, saved / path.name)
    (work / "saved").rename(work / "undo")
    yield
    (work / "undo").rename(work / "done")


def _places(feature: str) -> tuple[PurePosixPath, ...]:
    # The folder comes last: from then on the application serves the feature.
    return test_path(feature), folder(feature)


def _clear(root: Path) -> None:
    for saved in (root / FOLDER / "undo").glob("*"):
        for path in _places(saved.name):
            # From a copy, since this may be killed too.
            again = root / FOLDER / f"again-{path.name}"
            _remove(again)
            _copy(saved / path.name, again)
            _discard(root, path)
            if os.path.lexists(again):
                again.rename(root / path)
    _remove(root / FOLDER)


def _discard(root: Path, path: PurePosixPath) -> None:
    gone = root / FOLDER / f"gone-{path.name}"
    _remove(gone)
    if os.path.lexists(root / path):
        (root / path).rename(gone)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
