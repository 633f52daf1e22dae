"""Promises of adding and removing: again and back, and nothing that somebody has edited is lost."""

import dataclasses
import json
import os
import signal
from typing import Any

import pytest

from petsage.builder import BuildError, build, project, proof
from petsage.builder.request import Request
from petsage.builder.workspace import FOLDER as WORKSPACE
from tests.builder.projects import add, red, snapshot
from tests.fakes import forked

FOLDER = project.folder("pet_birthday")


@pytest.fixture
def runnable(root, files):
    """A copy of this project that has the feature."""
    project.write(root, files.contents)
    return root


def refusal(root, request):
    with pytest.raises(BuildError) as caught:
        add(root, request)
    (problem,) = caught.value.problems
    return problem


def test_a_draft_writes_nothing(root, request_):
    before = snapshot(root)
    assert build.draft(root, request_).route == "POST /api/v1/pet-birthday"
    assert snapshot(root) == before


def test_a_feature_is_in_the_project_only_after_its_proof_in_a_copy(root, request_):
    def look(copy, features, passed):
        assert snapshot(root).keys() - before.keys() == {
            path for path in snapshot(root) if path.startswith(WORKSPACE)
        }
        assert (copy / FOLDER / "request.json").is_file()
        assert (copy / "setup.cfg").read_bytes() == (root / "setup.cfg").read_bytes()

    before = snapshot(root)
    files = add(root, request_, look)
    built = {str(path): content for path, content in files.contents.items()}
    assert snapshot(root) == before | built | {str(FOLDER): None}


def killed(*_: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def test_after_a_kill_in_the_proof_the_application_has_no_unproven_feature(root, request_):
    before = snapshot(root)
    code, said = forked(lambda: add(root, request_, killed), seconds=60)
    assert code == -signal.SIGKILL, said
    assert (root / WORKSPACE / "copy" / FOLDER).is_dir()
    assert all(feature is None for _, feature in proof.application(root).routes)
    assert build.inventory(root) == ()
    with pytest.raises(BuildError, match="it is red"):
        add(root, request_, red)
    assert snapshot(root) == before


@pytest.mark.parametrize("fields", [(), (("due", "date"),)])
def test_the_answer_is_documented_by_an_example(root, fields):
    add(root, Request("vet", "d", (), fields))
    (operation,) = proof.application(root).openapi["paths"]["/api/v1/vet"].values()
    assert operation["responses"]["200"]["content"]["application/json"]["example"]


def test_the_same_request_again_changes_nothing(built, request_):
    before = snapshot(built)
    assert add(built, request_, red) is None
    assert snapshot(built) == before


@pytest.mark.parametrize(
    "change", [{"description": "Else"}, {"requirements": ()}, {"fields": (("due", "date"),)}]
)
def test_a_changed_request_is_refused(built, request_, change):
    before = snapshot(built)
    problem = refusal(built, dataclasses.replace(request_, **change))
    assert problem.startswith("pet_birthday is there already, from another request")
    assert "`petsage feature update` changes it" in problem
    assert snapshot(built) == before


def test_the_smoke_test_itself_is_refused(root):
    problem = refusal(root, Request("smoke_test", "d"))
    assert problem == "GET /api/v1/smoke-test is answered already; take another name"


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("error", "Error"),
        ("pagination_metadata", "PaginationMetadata"),
        ("smoke_test_failure", "SmokeTestFailure"),
    ],
)
def test_a_name_whose_schema_exists_already_is_refused(root, name, noun):
    assert refusal(root, Request(name, "d")) == (
        f"there is a schema {noun} already; take another name"
    )


def test_a_name_that_differs_from_a_features_in_an_underscore_only_is_refused(root):
    add(root, Request("pet1", "d"))
    problem = refusal(root, Request("pet_1", "d"))
    assert problem.startswith("there is a schema Pet1 already")


def test_a_route_that_a_feature_has_is_refused(runnable):
    views = runnable / FOLDER / "views.py"
    views.write_text(views.read_text().replace('"/pet-birthday"', '"/vet"'))
    assert refusal(runnable, Request("vet", "d")).startswith("POST /api/v1/vet is answered already")


@pytest.mark.parametrize("path", ["petsage/features/vet", "tests/features/test_vet.py"])
def test_existing_files_are_not_overwritten(bare, path):
    (bare / path).symlink_to("nowhere")
    assert refusal(bare, Request("vet", "d")) == (
        f"{path} is there already, and the builder did not make it; take another name"
    )


def test_where_git_has_left_the_caches_of_a_feature_it_is_built_again(root, request_):
    (root / FOLDER / "__pycache__").mkdir(parents=True)
    (root / FOLDER / "__pycache__" / "service.cpython-311.pyc").touch()
    files = add(root, request_)
    assert {path for path in files.contents if (root / path).is_file()} == set(files.contents)
    assert not (root / FOLDER / "__pycache__").exists()


def test_a_project_whose_application_cannot_be_made_is_refused_with_the_feature(runnable):
    (runnable / FOLDER / "service.py").write_text("raise ValueError('one\\ntwo')\n")
    problem = refusal(runnable, Request("vet", "d"))
    assert "feature 'pet_birthday' cannot be imported: one two: ValueError (" in problem


def test_a_feature_that_prints_does_not_disturb(runnable):
    service = runnable / FOLDER / "service.py"
    service.write_text(f"{service.read_text()}\n\nprint('hello')\n")
    assert build.draft(runnable, Request("vet", "d"))


def test_removing_a_feature_that_was_not_edited_leaves_nothing(bare, files):
    before = snapshot(bare)
    project.write(bare, files.contents)
    assert build.remove(bare, "pet_birthday") == dict.fromkeys(sorted(files.contents), False)
    assert snapshot(bare) == before


def test_an_edited_feature_is_removed_by_force_only_and_each_edited_file_is_named(bare, files):
    before = snapshot(bare)
    project.write(bare, files.contents)
    (bare / FOLDER / "service.py").write_text("mine")
    (bare / FOLDER / "more").mkdir()
    (bare / FOLDER / "more" / "notes.txt").write_text("mine too")
    (bare / FOLDER / "link").symlink_to("nowhere")
    (bare / FOLDER / "link_to_a_folder").symlink_to("more")
    (bare / FOLDER / "empty").touch()
    os.mkfifo(bare / FOLDER / "fifo")
    (bare / FOLDER / "README.md").unlink()
    names = ("empty", "fifo", "link", "link_to_a_folder", "more/notes.txt", "service.py")
    mine = [FOLDER / name for name in names]
    with pytest.raises(BuildError) as caught:
        build.remove(bare, "pet_birthday")
    assert caught.value.problems == (
        *(f"{path} is edited" for path in mine),
        "--force deletes it all the same",
    )
    assert (bare / FOLDER / "service.py").read_text() == "mine"
    there = {*files.contents, *mine} - {FOLDER / "README.md"}
    deleted = build.remove(bare, "pet_birthday", force=True)
    assert deleted == {path: path in mine for path in there}
    assert snapshot(bare) == before


def test_a_checkout_with_other_line_ends_is_not_edited(built, files):
    for path, content in files.contents.items():
        (built / path).write_bytes(content.replace(b"\n", b"\r\n"))
    assert project.edited(built, "pet_birthday") == ()
    build.remove(built, "pet_birthday")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pet_brithday", "; did you mean pet_birthday?"),
        ("../../petsage", "; known are pet_birthday"),
        ("", "; known are pet_birthday"),
        ("\x1b" * 1000, "; known are pet_birthday"),
    ],
)
def test_removing_what_was_not_built_is_refused_with_the_nearest_name(built, name, hint):
    before = snapshot(built)
    with pytest.raises(BuildError) as caught:
        build.remove(built, name)
    assert caught.value.problems == (f"no feature of that name was built here{hint}",)
    assert snapshot(built) == before


def test_a_name_that_is_a_path_removes_nothing(built):
    (built / FOLDER).rename(built / "elsewhere")
    before = snapshot(built)
    with pytest.raises(BuildError, match="no feature of that name was built here"):
        build.remove(built, "../../elsewhere")
    assert snapshot(built) == before


def test_a_feature_behind_a_link_is_not_removed(built):
    (built / FOLDER).rename(built / "elsewhere")
    (built / FOLDER).symlink_to(built / "elsewhere")
    before = snapshot(built)
    with pytest.raises(BuildError, match="no feature of that name was built here"):
        build.remove(built, "pet_birthday")
    assert snapshot(built) == before


def test_a_record_cannot_make_other_files_be_deleted(built):
    path = built / FOLDER / project.RECORD
    record = json.loads(path.read_text())
    record["files"]["setup.cfg"] = (built / "setup.cfg").read_text()
    record["files"]["../x"] = "y"
    path.write_text(json.dumps(record))
    build.remove(built, "pet_birthday")
    assert (built / "setup.cfg").is_file()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"files":[]}', "[" * 10000, "1", '{"files":{"a":1}}']
)
def test_a_feature_whose_record_cannot_be_read_counts_as_not_built(built, text):
    (built / FOLDER / project.RECORD).write_text(text)
    with pytest.raises(BuildError, match="no feature of that name was built here"):
        build.remove(built, "pet_birthday")
    assert len(project.edited(built, "pet_birthday")) == 6


def test_the_inventory_lists_routes_open_requirements_and_edits(runnable):
    (runnable / FOLDER / "README.md").write_text("mine")
    (runnable / FOLDER / "views.py").write_bytes(
        (runnable / FOLDER / "views.py").read_bytes() + b"\n"
    )
    (runnable / FOLDER / "service.py").rename(runnable / FOLDER / "work.py")
    (runnable / FOLDER / "service.py").symlink_to("work.py")
    (one,) = build.inventory(runnable)
    assert one == build.FeatureSummary(
        "pet_birthday",
        ("POST /api/v1/pet-birthday",),
        1,
        tuple(f"{FOLDER}/{name}" for name in ("README.md", "views.py", "work.py")),
    )


def test_a_feature_that_nobody_built_is_listed_too(root):
    folder = root / project.folder("own")
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from flask_smorest import Blueprint\nfrom petsage import Check\n"
        "blueprint = Blueprint('Own', __name__)\ncheck = Check('own', lambda: None, {'smoke'})\n"
    )
    assert build.inventory(root) == (
        build.FeatureSummary("own", (), 0, ("petsage/features/own/__init__.py",)),
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("petsage/api.py", None),
        ("tests/features/__init__.py", None),
        ("setup.cfg", None),
        ("setup.cfg", "[metadata]\nname = other\n"),
        ("setup.cfg", "no configuration"),
    ],
)
def test_a_folder_that_is_no_project_is_refused(bare, request_, path, text):
    (bare / path).unlink()
    if text is not None:
        (bare / path).write_text(text)
    for command in (add, build.draft):
        with pytest.raises(BuildError, match="is not the root of a PetSage project"):
            command(bare, request_)
    with pytest.raises(BuildError, match="is not the root of a PetSage project"):
        build.remove(bare, "vet")
