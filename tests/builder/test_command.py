"""Promises of `petsage feature`: exit codes, one line for what is wrong, JSON for machines."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from petsage.builder.request import Request, from_options
from petsage.builder.workspace import FOLDER as WORKSPACE
from petsage.builder.workspace import locked
from petsage.cli import main
from tests.builder.projects import add, petsage, project_copy, snapshot
from tests.support import environment_of, running, tool, wait_until

REQUEST = {"feature": "vet", "description": "Finds one", "requirements": "none"}
FOLDER = "petsage/features/vet"


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A project that none of these tests may change, and its content."""
    root = project_copy(tmp_path_factory.mktemp("untouched"))
    return root, snapshot(root)


def refused(done, code=1):
    assert (done.returncode, done.stdout) == (code, "")
    return done.stderr.rstrip("\n")


def test_a_feature_is_added_once_listed_and_removed(root):
    before = snapshot(root)
    add(root, from_options("vet", ["Quick"], [], description="d"))
    again = petsage(root, "feature", "add", "vet", "--description", "d", "--requirement", "Quick")
    assert (again.returncode, again.stdout) == (0, "Nothing to do: vet is there as requested\n")
    listed = petsage(root, "feature", "list")
    assert listed.stdout == "vet  GET /api/v1/vet  open requirements: 1\n"
    (root / FOLDER / "service.py").write_bytes(b"")
    assert "cannot be imported" in refused(petsage(root, "feature", "list"))
    edited = refused(petsage(root, "feature", "remove", "vet"))
    assert f"petsage: {FOLDER}/service.py is edited\n" in edited
    removed = petsage(root, "feature", "remove", "vet", "--force")
    assert f"deleted {FOLDER}/service.py, edited\n" in removed.stdout
    assert snapshot(root) == before
    assert petsage(root, "feature", "list").stdout == "No features\n"


def test_machines_get_json(root):
    add(root, Request("own", "d"))
    listed = json.loads(petsage(root, "feature", "list", "--json").stdout)
    assert listed == [
        {"feature": "own", "routes": ["GET /api/v1/own"], "open_requirements": 0, "edited": []}
    ]
    removed = json.loads(petsage(root, "feature", "remove", "own", "--json").stdout)
    assert (removed["feature"], len(removed["deleted"]), removed["edited"]) == ("own", 7, [])


@pytest.mark.parametrize("by", ["options", "a file", "standard input"])
def test_a_dry_run_shows_the_same_plan_however_it_is_asked_for_and_writes_nothing(
    untouched, tmp_path, by
):
    root, before = untouched
    arguments, options = ["vet", "--description", "Finds one"], {}
    if by == "a file":
        (tmp_path / "request.json").write_text(json.dumps(REQUEST))
        arguments = ["--request", str(tmp_path / "request.json")]
    if by == "standard input":
        arguments, options = ["--request", "-"], {"input": json.dumps(REQUEST)}
    done = petsage(root, "feature", "add", *arguments, "--dry-run", "--json", **options)
    planned = json.loads(done.stdout)
    assert (planned["status"], planned["route"]) == ("planned", "GET /api/v1/vet")
    assert (done.stderr, len(planned["files"])) == ("", 7)
    assert snapshot(root) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["add"],
        ["add", "vet", "--request", "-"],
        ["add", "--request", "-", "--field", "a:date"],
        ["add", "vet", "extra"],
        ["add", "vet", "--feild", "a:date"],
        ["remove"],
        ["build"],
    ],
)
def test_wrong_usage_is_2(arguments):
    ended = CliRunner().invoke(main, ["feature", *arguments])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "Usage: " in ended.stderr


def test_all_that_is_wrong_with_a_request_is_printed_a_line_each(untouched):
    root, before = untouched
    asked = ["class", "--field", "self:date", "--field", "a"]
    assert refused(petsage(root, "feature", "add", *asked)).splitlines() == [
        "petsage: feature: class is used by the code already; pet_class would be right",
        "petsage: description: Missing data for required field.",
        "petsage: fields.self: self is used by the code already; pet_self would be right",
        "petsage: fields.a: unknown type; known are string, integer, float, boolean, date, "
        "datetime, decimal, uuid, email, url, enum:a:b, list:TYPE",
    ]
    assert snapshot(root) == before


def test_a_request_of_10_mb_is_refused_and_not_read_to_its_end(untouched, tmp_path):
    root, _ = untouched
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(10_000_000)
    problem = "petsage: the request is too long: it may have 1 MiB"
    done = petsage(root, "feature", "add", "--request", str(tmp_path / "huge.json"))
    assert refused(done) == problem
    assert refused(petsage(root, "feature", "add", "--request", "/dev/zero")) == problem
    with (tmp_path / "huge.json").open("rb") as file:
        done = petsage(root, "feature", "add", "--request", "-", stdin=file)
        assert refused(done) == problem
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) < 2_000_000


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("nowhere.json", "{path}: No such file or directory"),
        (".", "{path}: Is a directory"),
        ("fifo", "the request is not JSON: "),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_in_one_line(untouched, tmp_path, source, reason):
    os.mkfifo(tmp_path / "fifo")
    done = petsage(untouched[0], "feature", "add", "--request", str(tmp_path / source))
    assert refused(done).startswith(f"petsage: {reason.format(path=tmp_path / source)}")


def test_outside_of_a_project_it_is_refused_in_one_line(tmp_path):
    command = [sys.executable, "-m", "petsage", "feature", "list"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert refused(done) == (
        "petsage: this folder is not the root of a PetSage project: petsage/api.py is missing"
    )


def test_in_a_working_directory_that_is_gone_it_is_refused_in_one_line(tmp_path):
    command = f"mkdir gone; cd gone; rmdir ../gone; {sys.executable} -m petsage feature list"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert refused(done).endswith("PetSage project: petsage/api.py is missing")


def test_a_read_only_tree_is_refused_in_one_line(root):
    before = snapshot(root)
    (root / "petsage/features").chmod(0o555)
    # Root may write everywhere, unless it gives that right up.
    as_others = [tool("setpriv"), "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    command = [*as_others, sys.executable, "-B", "-m", "petsage", "feature", "add", "vet"]
    done = subprocess.run(
        [*command, "--description", "d"], cwd=root, capture_output=True, text=True
    )
    assert snapshot(root) == before
    assert refused(done) == "petsage: petsage/features cannot be written"


FULL = """
set -e
mount -t tmpfs -o size=$((200 + $(du -sk project | cut -f1)))k none disk
cp -a project/. disk
cd disk
"$@" || echo "exit code $?"
diff -r ../project .
"""


def test_a_full_disk_is_refused_in_one_line_and_the_tree_is_as_it_was(root):
    (root.parent / "disk").mkdir()
    add = [sys.executable, "-B", "-m", "petsage", "feature", "add", "vet", "--description", "d"]
    done = subprocess.run(
        [tool("unshare"), "-rm", "sh", "-c", FULL, "sh", *add],
        cwd=root.parent,
        env=environment_of({}),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "exit code 1\n")
    assert re.fullmatch(r"petsage: \S+: No space left on device\n", done.stderr)


ENDED = {
    signal.SIGINT: (130, "petsage: interrupted\n"),
    signal.SIGTERM: (143, "petsage: terminated\n"),
    signal.SIGKILL: (-signal.SIGKILL, ""),
}


@pytest.mark.parametrize("number", ENDED)
def test_an_interrupt_of_the_proof_leaves_the_tree_as_it_was_and_another_builder_waits(
    root, number
):
    before = snapshot(root)
    environment = {**environment_of({}), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "petsage", "feature", "add", "vet", "--description", "d"]
    with running(command, cwd=root, env=environment, stdout=-1, stderr=-1, text=True) as one:
        wait_until((root / WORKSPACE / "copy" / FOLDER).exists, 30)
        one.send_signal(signal.SIGSTOP)
        other = petsage(root, "feature", "add", "groomer", "--description", "d")
        assert refused(other) == ("petsage: another builder is at work here; wait until it is done")
        one.send_signal(number)
        one.send_signal(signal.SIGCONT)
        output, errors = one.communicate(timeout=60)
    assert (one.returncode, errors) == ENDED[number]
    assert output == ""
    if number == signal.SIGKILL:
        with locked(root, "vet"):  # the next run clears up
            pass
    assert snapshot(root) == before


def test_what_is_red_is_1_and_the_tree_is_as_it_was(root):
    setup = root / "pyproject.toml"
    setup.write_text(setup.read_text().replace('"W"]', '"W", "D"]'))
    before = snapshot(root)
    done = petsage(root, "feature", "add", "vet", "--description", "d")
    problem = refused(done)
    assert problem.startswith("petsage: the linter is red:\n")
    assert "D103" in problem
    assert snapshot(root) == before


def test_a_terminal_without_line_characters_gets_ascii(untouched):
    command = [sys.executable, "-m", "petsage", "feature", "add", "vet", "--dry-run"]
    done = subprocess.run(
        [*command, "--description", "d", "--requirement", "猫"],
        cwd=untouched[0],
        env={**environment_of({}), "PYTHONIOENCODING": "cp1252", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"|       `-- vet\n" in done.stdout
    assert done.stdout.isascii()


def test_folders_behind_a_link_are_refused_in_one_line(root, tmp_path):
    (root / "petsage/features").rename(tmp_path / "elsewhere")
    (root / "petsage/features").symlink_to(tmp_path / "elsewhere")
    before = snapshot(tmp_path)
    assert refused(petsage(root, "feature", "add", "vet", "--description", "d")) == (
        "petsage: petsage/features is behind a symbolic link: nothing is written there"
    )
    assert snapshot(tmp_path) == before
