"""Writes a feature into the tree and takes it out again: each all or nothing."""

import fcntl
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath

from petsage.builder import BuildError, plan
from petsage.builder.plan import Plan

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Disk:
    """All that is done to the file system. Every method may raise `OSError`."""

    def make_folder(self, path: Path) -> None:
        path.mkdir()

    def write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)

    def rename(self, path: Path, to: Path) -> None:
        path.rename(to)

    def delete(self, path: Path) -> None:
        """Deletes a file, or a folder and what is in it, if it is there."""
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Keeps other builders out. Raises `BuildError` if one is at work."""
    # The lock is on the folder itself, so it leaves nothing behind, not even after a `kill -9`.
    held = os.open(root / plan.FEATURES, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BuildError("another builder is at work here; wait until it is done") from None
        yield
    finally:
        os.close(held)


@contextmanager
def obedient() -> Iterator[Callable[[], None]]:
    """Within it an interrupt is only noted; the function given raises it as `KeyboardInterrupt`.

    So one comes where the tree can be restored, and a second one cannot stop the restoring.
    """
    noted: list[int] = []

    def obey() -> None:
        if noted:
            raise KeyboardInterrupt

    heard = [one for one in _SIGNALS if signal.getsignal(one) != signal.SIG_IGN]
    before = {one: signal.signal(one, lambda number, _: noted.append(number)) for one in heard}
    try:
        yield obey
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def added(root: Path, planned: Plan, disk: Disk) -> Iterator[None]:
    """Writes a plan, and takes it back if the block raises. Raises `BuildError` if it cannot.

    Everything is written beside its place, under names that nobody imports, and renamed at the
    end: there is never half a feature. Its request file comes after the block: it says that the
    feature is proven, even if a `kill -9` ends the block.
    """
    feature = planned.request.feature
    note = plan.folder(feature) / plan.REQUEST_FILE
    mark = _mark(feature)
    places = [root / plan.folder(feature), root / plan.test_path(feature)]
    staged = {place: place.with_name(mark) for place in places}
    with _undone_on_error() as undo:
        for beside in staged.values():
            undo.callback(disk.delete, beside)
        with _told():
            disk.make_folder(staged[places[0]])
            for path in planned.files.keys() - {note}:
                place = root / path
                into = staged.get(place) or staged[place.parent] / path.name
                disk.write(into, planned.files[path])
            for place, beside in staged.items():
                disk.rename(beside, place)
                undo.callback(disk.rename, place, beside)
        yield
        with _told():
            beside = root / note.with_name(_mark(note.name))
            disk.write(beside, planned.files[note])
            disk.rename(beside, root / note)


def remove(root: Path, feature: str, files: Collection[PurePosixPath], disk: Disk) -> None:
    """Deletes these files of a feature, then its caches, and its folder if nothing is left there.

    Raises `BuildError` if one cannot be moved, and then all are where they were.
    """
    asides: list[Path] = []
    with _undone_on_error() as undo, _told():
        for path in (root / file for file in files):
            aside = path.with_name(_mark(path.name))
            disk.rename(path, aside)
            undo.callback(disk.rename, aside, path)
            asides.append(aside)
    folder = root / plan.folder(feature)
    caches = (root / plan.TESTS / "__pycache__").glob(f"test_{feature}.*.pyc")
    for path in (*asides, folder / "__pycache__", *caches):
        disk.delete(path)
    with suppress(OSError):  # not empty
        folder.rmdir()


def _mark(name: str) -> str:
    # What has a dot in its name is no package: nobody imports it, should a `kill -9` leave it.
    return f".{name}.{secrets.token_hex(4)}"


@contextmanager
def _undone_on_error() -> Iterator[ExitStack]:
    with ExitStack() as undo:
        yield undo
        undo.pop_all()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or "the project"
        raise BuildError(f"cannot write {where}: {error.strerror}; nothing is changed") from error
