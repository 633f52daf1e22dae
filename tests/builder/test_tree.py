"""Promises of the tree: a feature is written and taken out all or nothing, whatever happens."""

import errno
import os
import signal

import pytest

from petsage.builder import BuildError, plan, project, tree
from petsage.builder.tree import Disk
from tests.builder.projects import snapshot

FEATURE = "pet_birthday"
STEPS = 9  # a folder, six files and two renames
LAST = (STEPS + 1, STEPS + 2)  # the request file, and its rename


class Failing(Disk):
    """A disk that calls `fail` instead of its n-th step, and counts the steps."""

    def __init__(self, at, fail):
        self.steps, self._at, self._fail = 0, at, fail

    def _step(self):
        self.steps += 1
        if self.steps == self._at:
            self._fail()

    def make_folder(self, path):
        self._step()
        super().make_folder(path)

    def write(self, path, content):
        self._step()
        super().write(path, content)

    def rename(self, path, to):
        self._step()
        super().rename(path, to)


def read_only():
    raise OSError(errno.EROFS, "Read-only file system", "petsage")


def crash():
    raise MemoryError


def test_a_plan_is_written_as_it_is(bare, planned):
    before = snapshot(bare)
    with tree.added(bare, planned, Disk()):
        pass
    after = snapshot(bare)
    assert after.pop(f"petsage/features/{FEATURE}", 0) is None
    assert after == before | {str(path): content for path, content in planned.files.items()}


def test_it_is_written_in_so_many_steps(bare, planned):
    disk = Failing(0, crash)
    with tree.added(bare, planned, disk):
        assert disk.steps == STEPS
    assert disk.steps == LAST[1]


@pytest.mark.parametrize("at", range(1, STEPS + 1))
@pytest.mark.parametrize(
    ("fail", "raised"), [(read_only, BuildError), (crash, MemoryError)], ids=["oserror", "crash"]
)
def test_a_step_that_fails_leaves_the_tree_as_it_was(bare, planned, at, fail, raised):
    before = snapshot(bare)
    with pytest.raises(raised), tree.added(bare, planned, Failing(at, fail)):
        pytest.fail("it is written in spite of it")
    assert snapshot(bare) == before


@pytest.mark.parametrize("at", LAST)
def test_a_request_file_that_cannot_be_written_leaves_the_tree_as_it_was(bare, planned, at):
    before = snapshot(bare)
    with (
        pytest.raises(BuildError, match="Read-only file system"),
        tree.added(bare, planned, Failing(at, read_only)),
    ):
        pass
    assert snapshot(bare) == before


def test_until_the_block_has_ended_there_is_no_request_file(bare, planned):
    with tree.added(bare, planned, Disk()):
        assert project.features(bare) == [FEATURE]
        assert project.built(bare, FEATURE) is None
    assert project.built(bare, FEATURE)


@pytest.mark.parametrize("at", LAST)
def test_an_interrupt_when_all_is_proven_comes_too_late_to_leave_half_of_it(bare, planned, at):
    disk = Failing(at, lambda: os.kill(os.getpid(), signal.SIGINT))
    with tree.obedient() as obey, tree.added(bare, planned, disk):
        obey()
    assert project.built(bare, FEATURE)
    assert (bare / plan.test_path(FEATURE)).is_file()


def test_a_tree_that_cannot_be_written_is_told_in_one_line(bare, planned):
    with (
        pytest.raises(BuildError, match=r"^petsage: cannot write petsage: Read-only file system"),
        tree.added(bare, planned, Failing(1, read_only)),
    ):
        pass


@pytest.mark.parametrize("at", range(1, STEPS + 1))
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_between_two_writes_leaves_the_tree_as_it_was(bare, planned, at, number):
    before, handler = snapshot(bare), signal.getsignal(number)
    disk = Failing(at, lambda: os.kill(os.getpid(), number))
    with (
        pytest.raises(KeyboardInterrupt),
        tree.obedient() as obey,
        tree.added(bare, planned, disk),
    ):
        obey()
    assert snapshot(bare) == before
    assert signal.getsignal(number) is handler


def test_what_fails_afterwards_takes_the_feature_back_with_all_that_came_into_it(bare, planned):
    before = snapshot(bare)

    def prove():
        (bare / plan.folder(FEATURE) / "__pycache__").mkdir()
        raise BuildError("red")

    with pytest.raises(BuildError, match="red"), tree.added(bare, planned, Disk()):
        prove()
    assert snapshot(bare) == before


def test_half_a_feature_is_no_feature_even_after_a_kill(root, planned):
    with pytest.raises(SystemExit), tree.added(root, planned, KilledAtRename()):
        pass
    left = sorted(path.name for path in (root / plan.FEATURES).iterdir())
    assert left[0].startswith(f".{FEATURE}.")
    assert left[1:] == ["__init__.py"]
    assert project.features(root) == []
    assert all(route.feature is None for route in project.application(root).routes)


class KilledAtRename(Disk):
    """A disk that does nothing any more when it comes to the first rename."""

    def rename(self, path, to):
        raise SystemExit

    def delete(self, path):
        pass


def test_removing_leaves_the_tree_as_before_adding(bare, planned):
    before = snapshot(bare)
    with tree.added(bare, planned, Disk()):
        pass
    caches = [bare / plan.folder(FEATURE) / "__pycache__", bare / plan.TESTS / "__pycache__"]
    for cache in caches:
        cache.mkdir()
        (cache / f"test_{FEATURE}.cpython-311.pyc").write_bytes(b"x")
    tree.remove(bare, FEATURE, planned.files, Disk())
    assert snapshot(bare) == {**before, f"{plan.TESTS}/__pycache__": None}


@pytest.mark.parametrize("at", range(1, 8))
def test_a_removal_that_fails_removes_nothing(bare, planned, at):
    with tree.added(bare, planned, Disk()):
        pass
    before = snapshot(bare)
    with pytest.raises(BuildError, match="Read-only file system"):
        tree.remove(bare, FEATURE, planned.files, Failing(at, read_only))
    assert snapshot(bare) == before


def test_two_builders_at_once_are_one_and_a_refusal(bare):
    before = snapshot(bare)
    with tree.alone(bare):
        with pytest.raises(BuildError, match="another builder is at work here"), tree.alone(bare):
            pytest.fail("both are at work")
        assert snapshot(bare) == before
    with tree.alone(bare):
        pass
