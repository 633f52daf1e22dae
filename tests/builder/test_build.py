"""Promises of adding and removing: again and back, and nothing that somebody has edited is lost."""

import dataclasses
import json

import pytest

from petsage.builder import BuildError, build, plan, project, tree
from petsage.builder.request import Request
from petsage.builder.tree import Disk
from tests.builder.projects import snapshot

FOLDER = plan.folder("pet_birthday")


def unproven(root, planned, obey):
    """Stands in for the proof."""


def red(root, planned, obey):
    raise BuildError("it is red")


@pytest.fixture
def runnable(root, planned):
    """A copy of this project in which the feature stands."""
    with tree.added(root, planned, Disk()):
        return root


def refusal(root, request):
    with pytest.raises(BuildError) as caught:
        build.add(root, request, unproven)
    (problem,) = caught.value.problems
    return problem


def test_what_is_red_leaves_the_tree_as_it_was(root, request_):
    before = snapshot(root)
    with pytest.raises(BuildError, match="it is red"):
        build.add(root, request_, red)
    assert snapshot(root) == before


def test_a_draft_writes_nothing(root, request_):
    before = snapshot(root)
    assert build.draft(root, request_).route == "POST /api/v1/pet-birthday"
    assert snapshot(root) == before


def test_the_plan_is_shown_before_anything_is_written(root, request_, planned):
    before, shown = snapshot(root), []

    def show(what):
        assert snapshot(root) == before
        shown.append(what)

    with pytest.raises(BuildError, match="it is red"):
        build.add(root, request_, red, show=show)
    assert shown == [planned]


class Killed(Disk):
    """A disk that does nothing any more once `dead` is set."""

    dead = False

    def rename(self, path, to):
        if not self.dead:
            super().rename(path, to)

    def delete(self, path):
        pass


def test_what_was_killed_in_its_proof_is_not_taken_for_proven(root, request_):
    disk = Killed()

    def killed(root, planned, obey):
        disk.dead = True
        raise SystemExit

    with pytest.raises(SystemExit):
        build.add(root, request_, killed, disk)
    assert refusal(root, request_) == (
        "petsage/features/pet_birthday is there already, but not from a build that came to its "
        f"end; delete {FOLDER} and tests/features/test_pet_birthday.py, or take another name"
    )


@pytest.mark.parametrize(("fields", "code"), [((), "200"), ((("due", "date"),), "201")])
def test_the_answer_is_documented_by_an_example(root, fields, code):
    build.add(root, Request("vet", "d", (), fields), unproven)
    (operation,) = project.application(root).openapi["paths"]["/api/v1/vet"].values()
    assert operation["responses"][code]["content"]["application/json"]["example"]


def test_the_same_request_again_changes_nothing(built, request_):
    before = snapshot(built)
    assert build.add(built, request_, red) is None
    assert snapshot(built) == before


@pytest.mark.parametrize(
    "change", [{"description": "Else"}, {"requirements": ()}, {"fields": (("due", "date"),)}]
)
def test_a_changed_request_is_refused(built, request_, change):
    before = snapshot(built)
    told = refusal(built, dataclasses.replace(request_, **change))
    assert told.startswith("pet_birthday is there already, from another request")
    assert "petsage feature remove pet_birthday" in told
    assert snapshot(built) == before


def test_the_smoke_test_itself_is_refused(root):
    told = refusal(root, Request("smoke_test", "d"))
    assert told == "GET /api/v1/smoke-test is answered already; another name would be right"


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("error", "Error"),
        ("pagination_metadata", "PaginationMetadata"),
        ("smoke_test_failure", "SmokeTestFailure"),
    ],
)
def test_a_name_whose_schema_is_there_is_refused(root, name, noun):
    assert refusal(root, Request(name, "d")) == (
        f"there is a schema {noun} already; another name would be right"
    )


def test_a_name_that_differs_from_a_features_in_an_underscore_only_is_refused(root):
    build.add(root, Request("pet1", "d"), unproven)
    told = refusal(root, Request("pet_1", "d"))
    assert told.startswith("there is a schema Pet1 already")


def test_a_route_that_a_feature_has_is_refused(runnable):
    views = runnable / FOLDER / "views.py"
    views.write_text(views.read_text().replace('"/pet-birthday"', '"/vet"'))
    assert refusal(runnable, Request("vet", "d")).startswith("POST /api/v1/vet is answered already")


@pytest.mark.parametrize("path", ["petsage/features/vet", "tests/features/test_vet.py"])
def test_what_is_there_already_is_not_written_over(bare, path):
    (bare / path).symlink_to("nowhere")
    assert refusal(bare, Request("vet", "d")) == (
        f"{path} is there already, but not from a build that came to its end; "
        "delete petsage/features/vet and tests/features/test_vet.py, or take another name"
    )


def test_a_project_whose_application_cannot_be_made_is_refused_with_the_feature(runnable):
    (runnable / FOLDER / "service.py").write_text("raise ValueError('one\\ntwo')\n")
    told = refusal(runnable, Request("vet", "d"))
    assert "feature 'pet_birthday' cannot be imported: one two: ValueError (" in told


def test_a_feature_that_prints_does_not_disturb(runnable):
    service = runnable / FOLDER / "service.py"
    service.write_text(f"{service.read_text()}\n\nprint('hello')\n")
    assert build.draft(runnable, Request("vet", "d"))


def test_removing_what_is_as_it_was_built_leaves_nothing(bare, planned):
    before = snapshot(bare)
    with tree.added(bare, planned, Disk()):
        pass
    gone, kept = build.remove(bare, "pet_birthday")
    assert (set(gone), kept) == (set(planned.files), ())
    assert snapshot(bare) == before


def test_what_was_edited_or_added_is_kept_and_told(built):
    (built / FOLDER / "service.py").write_text("mine")
    (built / FOLDER / "more").mkdir()
    (built / FOLDER / "more" / "notes.txt").write_text("mine too")
    (built / FOLDER / "README.md").unlink()
    gone, kept = build.remove(built, "pet_birthday")
    assert set(kept) == {FOLDER / "service.py", FOLDER / "more" / "notes.txt"}
    assert FOLDER / "README.md" not in gone
    assert {p for p in snapshot(built) if p.startswith(f"{FOLDER}/")} == {
        *map(str, kept),
        f"{FOLDER}/more",
    }


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


def test_a_request_file_cannot_make_other_files_be_deleted(built):
    note = built / FOLDER / plan.REQUEST_FILE
    record = json.loads(note.read_text())
    record["files"]["setup.cfg"] = plan.digest((built / "setup.cfg").read_bytes())
    record["files"]["../x"] = "y"
    note.write_text(json.dumps(record))
    build.remove(built, "pet_birthday")
    assert (built / "setup.cfg").is_file()


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", '{"files":[]}', "[" * 10000, "1"])
def test_a_spoilt_request_file_makes_it_a_feature_of_somebody_elses(built, note):
    (built / FOLDER / plan.REQUEST_FILE).write_text(note)
    with pytest.raises(BuildError, match="no feature of that name was built here"):
        build.remove(built, "pet_birthday")
    assert len(project.edited(built, "pet_birthday")) == 6


def test_the_inventory_tells_routes_open_requirements_and_edits(runnable):
    readme = runnable / FOLDER / "README.md"
    readme.write_text(readme.read_text() + "- [ ] Ring twice\n- [x] Done\n")
    (runnable / FOLDER / "views.py").write_bytes(
        (runnable / FOLDER / "views.py").read_bytes() + b"\n"
    )
    (runnable / FOLDER / "service.py").rename(runnable / FOLDER / "work.py")
    (runnable / FOLDER / "service.py").symlink_to("work.py")
    (one,) = project.inventory(runnable)
    assert one == project.Feature(
        "pet_birthday",
        ("POST /api/v1/pet-birthday",),
        2,
        tuple(f"{FOLDER}/{name}" for name in ("README.md", "views.py", "work.py")),
    )


def test_a_feature_that_nobody_built_is_told_too(root):
    folder = root / plan.folder("own")
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from flask_smorest import Blueprint\nfrom petsage import Check\n"
        "blueprint = Blueprint('Own', __name__)\ncheck = Check('own', int, {'smoke'})\n"
    )
    assert project.inventory(root) == (
        project.Feature("own", (), 0, ("petsage/features/own/__init__.py",)),
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
    for command in (build.add, build.draft):
        with pytest.raises(BuildError, match="is not the root of a PetSage project"):
            command(bare, request_)
    with pytest.raises(BuildError, match="is not the root of a PetSage project"):
        build.remove(bare, "vet")
