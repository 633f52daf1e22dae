"""Promises of the workspace: a feature is moved in or out all or nothing, whatever happens."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from petsage.builder import BuildError, project, workspace
from petsage.builder.workspace import FOLDER
from tests.builder.projects import snapshot
from tests.fakes import forked
from tests.support import ROOT

FEATURE = "pet_birthday"


@pytest.fixture
def source(tmp_path_factory, files):
    """The root of a project whose feature has files with other content."""
    root = tmp_path_factory.mktemp("source")
    for path in files.contents:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("new")
    return root


def replace(root, source):
    with workspace.locked(root, FEATURE):
        if source:
            paths = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
            workspace.move_in(root, FEATURE, source, paths)
        else:
            workspace.move_out(root, FEATURE)


def test_a_feature_is_moved_in_replaced_and_moved_out(bare, source, files):
    before = snapshot(bare)
    project.write(source, files.contents)
    replace(bare, source)
    within = {str(path): content for path, content in files.contents.items()}
    assert snapshot(bare) == before | within | {str(project.folder(FEATURE)): None}
    project.write(source, files.contents)
    (source / project.folder(FEATURE) / "views.py").write_bytes(b"other")
    replace(bare, source)
    assert (bare / project.folder(FEATURE) / "views.py").read_bytes() == b"other"
    replace(bare, None)
    assert snapshot(bare) == before


def test_the_bytecode_of_a_feature_goes_with_it(built):
    for cache in (project.folder(FEATURE) / "__pycache__", project.TESTS / "__pycache__"):
        (built / cache).mkdir()
        (built / cache / f"test_{FEATURE}.cpython-311.pyc").write_bytes(b"x")
    replace(built, None)
    assert not [path for path in snapshot(built) if FEATURE in path]


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt():
    raise KeyboardInterrupt


def full_disk():
    raise OSError(errno.ENOSPC, "No space left on device", "petsage")


STEPS = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.copyfile")


def stopped(root, source, at, fault):
    """Replaces the feature in a process in which the fault happens before the n-th step.

    Returns whether it came to its end.
    """
    steps = iter(range(at - 1, -1, -1))

    def change():
        sys.addaudithook(lambda event, _: event in STEPS and next(steps, -1) == 0 and fault())
        replace(root, source)
        list(steps)  # none is left for what measured coverage does at the end of a process

    code, _ = forked(change)
    assert code != -signal.SIGALRM, "it hangs"
    return code == 0


def begin(root, contents):
    """Puts the feature into the state before the change."""
    if (root / project.folder(FEATURE)).exists():
        replace(root, None)
    project.write(root, contents)


def write(root, snapshot):
    for path, content in snapshot.items():
        if content is not None:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)


@pytest.mark.parametrize("fault", [kill, interrupt, full_disk])
@pytest.mark.parametrize("change", ["in", "over", "out"])
def test_whatever_ends_a_change_the_feature_is_as_before_or_whole(
    bare, source, files, fault, change
):
    new, seen, ended, at = snapshot(source), [], False, 0
    while not ended:
        at += 1
        begin(bare, {} if change == "in" else files.contents)
        before = snapshot(bare)
        write(source, new)
        ended = stopped(bare, None if change == "out" else source, at, fault)
        whole = {path: content for path, content in before.items() if FEATURE not in path}
        if change != "out":
            whole |= {path: content for path, content in new.items() if FEATURE in path}
        if fault is not kill:
            tree = {path: content for path, content in snapshot(bare).items() if FOLDER not in path}
            assert tree in (before, whole)
        with workspace.locked(bare, FEATURE):  # the next run
            pass
        assert snapshot(bare) in ((before, whole) if not ended else (whole,))
        seen.append(snapshot(bare) == whole)
    assert seen == sorted(seen)  # one step decides which
    assert at > 10


@pytest.mark.parametrize("path", [project.FEATURES, project.TESTS, project.folder(FEATURE)])
def test_a_folder_that_cannot_be_written_is_known_before_the_work(built, path):
    before = snapshot(built)
    (built / path).chmod(0o555)
    code = "from tests.builder.test_workspace import *; unwritable()"
    done = as_others(built, [sys.executable, "-B", "-c", code])
    assert snapshot(built) == before
    assert done.stdout == f"petsage: {built / path} cannot be written\n"


def unwritable():
    """Locks the workspace of the working directory, or prints why it cannot."""
    from pathlib import Path

    try:
        with workspace.locked(Path.cwd(), FEATURE):
            print("it is at work")
    except BuildError as error:
        print(error.lines())


def as_others(root, command):
    """Runs a command without root's right to read and write everything."""
    others = (
        ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([*others, *command], cwd=root, capture_output=True, text=True, env=env)


def test_of_two_builders_at_once_one_is_refused(bare):
    before = snapshot(bare)
    with workspace.locked(bare, FEATURE):
        with (
            pytest.raises(BuildError, match="another builder is at work here"),
            workspace.locked(bare, FEATURE),
        ):
            pytest.fail("both are at work")
        assert snapshot(bare) == before
    with workspace.locked(bare, FEATURE):
        pass


def test_a_copy_has_neither_git_nor_environments_nor_caches_nor_what_is_no_file(bare):
    (bare / "linked").symlink_to("setup.cfg")
    (bare / "loop").symlink_to(".")
    wanted = snapshot(bare)
    for name in (".git", "env", "petsage/__pycache__", ".mypy_cache"):
        (bare / name).mkdir()
        (bare / name / "file").touch()
    (bare / "env" / "pyvenv.cfg").touch()
    os.mkfifo(bare / "fifo")
    with workspace.locked(bare, FEATURE):
        copy = workspace.copy_project(bare)
        assert snapshot(copy) == wanted
        assert (copy / "linked").is_symlink()
    assert not (bare / FOLDER).exists()


def test_a_link_to_what_is_not_in_the_copy_leads_to_the_same_place(tmp_path):
    root, outside = tmp_path / "project", tmp_path / "outside"
    outside.write_text("out of the project")
    for path in ("petsage/features", "tests/features", ".hidden", tmp_path.name):
        (root / path).mkdir(parents=True)
    for path in ("petsage/features/__init__.py", f"{tmp_path.name}/outside"):
        (root / path).touch()
    out = {"tests/out": "../../outside", "up": f"../../{tmp_path.name}/outside", "so": str(outside)}
    for name, place in {**out, "hidden": ".hidden", "itself": "itself"}.items():
        (root / name).symlink_to(place)
    with workspace.locked(root, FEATURE):
        copy = workspace.copy_project(root)
        for name in out:
            assert (copy / name).samefile(outside)
        assert (copy / "hidden").samefile(root / ".hidden")


def test_what_nobody_can_read_is_left_out_of_the_copy(bare):
    wanted = snapshot(bare)
    for path in (bare / "database", bare / "secret"):
        path.mkdir() if path.name == "database" else path.touch()
        path.chmod(0o000)
    code = (
        "from petsage.builder.workspace import *\n"
        "with locked(Path(), 'vet'): print(sorted(p.name for p in copy_project(Path()).iterdir()))"
    )
    done = as_others(bare, [sys.executable, "-B", "-c", code])
    assert done.stdout == f"{sorted({path.split('/')[0] for path in wanted})}\n", done.stderr


def test_what_a_killed_run_left_is_removed_by_the_next_one(bare):
    (bare / FOLDER / "copy" / "petsage").mkdir(parents=True)
    before = snapshot(bare)
    with workspace.locked(bare, FEATURE):
        assert not (bare / FOLDER).exists()
    assert set(before) - set(snapshot(bare)) == {FOLDER, f"{FOLDER}/copy", f"{FOLDER}/copy/petsage"}
