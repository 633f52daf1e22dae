"""Promises of a change: what is edited is merged with what is asked for, or nothing is written."""

import dataclasses
import json

import pytest

from petsage.builder import BuildError, build, project
from petsage.builder.request import from_json
from tests.builder.projects import red, rendered, snapshot, unproven, update

FOLDER = project.folder("pet_birthday")
SERVICE = FOLDER / "service.py"
TEST = project.test_path("pet_birthday")


@pytest.fixture
def changed(request_):
    """The request with one more field."""
    return dataclasses.replace(request_, fields=(*request_.fields, ("kind", "enum:cat:dog")))


def refusal(root, request, prove=unproven):
    before = snapshot(root)
    with pytest.raises(BuildError) as caught:
        update(root, request, prove)
    assert snapshot(root) == before
    return "\n".join(caught.value.problems)


def edit(root, path, old, new):
    (root / path).write_text((root / path).read_text().replace(old, new))


def test_files_that_are_not_edited_become_those_of_the_request(built, changed):
    update(built, changed)
    for path, content in rendered(changed).contents.items():
        assert (built / path).read_bytes() == content
    assert project.edited(built, "pet_birthday") == ()


def test_edits_stay_beside_what_the_request_changes(built, changed):
    edit(built, SERVICE, "    return given\n", "    return keep(given)\n")
    (built / FOLDER / "notes.txt").write_text("mine")
    (built / FOLDER / "README.md").unlink()
    before = (built / SERVICE).read_text()
    with pytest.raises(BuildError, match=r"README\.md is deleted here, and the request changes it"):
        update(built, changed)
    (built / FOLDER / "README.md").write_bytes(rendered(changed).contents[FOLDER / "README.md"])
    update(built, changed)
    kind = "    due: dt.date | None = None\n    kind: str | None = None\n"
    assert (built / SERVICE).read_text() == before.replace("    due: dt.date | None = None\n", kind)
    assert (built / FOLDER / "notes.txt").read_text() == "mine"
    assert project.edited(built, "pet_birthday") == (FOLDER / "notes.txt", SERVICE)


def test_a_deleted_file_that_the_request_does_not_change_stays_deleted(built, changed):
    (built / FOLDER / "views.py").unlink()
    update(built, changed)
    assert project.edited(built, "pet_birthday") == (FOLDER / "views.py",)


def test_a_conflict_is_shown_and_nothing_is_written(built, changed):
    edit(built, SERVICE, "    due: dt.date | None = None\n", "    due: dt.date | None\n")
    edit(built, FOLDER / "views.py", "@blueprint.refuses\n", "")
    assert refusal(built, changed).splitlines() == [
        f"{SERVICE} is edited where the request changes it:",
        "<<<<<<< edited",
        "    due: dt.date | None",
        "=======",
        "    due: dt.date | None = None",
        "    kind: str | None = None",
        ">>>>>>> requested",
    ]


def keep(root):
    """Keeps the only requirement, as the feature's README explains."""
    edit(root, SERVICE, '("At noon",)', "()")
    edit(root, TEST, "raise NotImplementedError", "assert client")


@pytest.mark.parametrize("also", [(), ("At noon",)])
def test_after_a_requirement_is_kept_another_one_can_be_requested(built, request_, also):
    keep(built)
    more = dataclasses.replace(request_, requirements=("At noon", "In winter"))
    update(built, more)
    service, test = (built / SERVICE).read_text(), (built / TEST).read_text()
    assert 'OPEN: tuple[str, ...] = ("In winter",)' in service
    assert project.edited(built, "pet_birthday") == (TEST,)
    assert test.index("    assert client\n") < test.index('@required("In winter")')
    assert test.count("    raise NotImplementedError\n") == 1
    least = dataclasses.replace(request_, requirements=(*also, "In winter"))
    if also:
        assert update(built, least) is None
    else:
        assert "is edited where the request changes it" in refusal(built, least)


def test_a_first_requirement_can_be_requested_after_the_service_is_written(bare, request_):
    bare_request = dataclasses.replace(request_, requirements=())
    project.write(bare, rendered(bare_request).contents)
    edit(bare, SERVICE, "    return given\n", "    return keep(given)\n")
    update(bare, request_)
    code = (bare / SERVICE).read_text()
    assert code.endswith('join(OPEN)}")\n\n    return keep(given)\n')


def test_a_change_with_a_red_proof_leaves_the_tree_as_it_was(built, changed):
    assert refusal(built, changed, red) == "it is red"


def test_other_line_ends_are_merged_and_kept(built, changed, files):
    for path, content in files.contents.items():
        (built / path).write_bytes(content.replace(b"\n", b"\r\n"))
    (built / SERVICE).write_bytes((built / SERVICE).read_bytes() + b"\r\n\r\nMORE = 1\r\n")
    update(built, changed)
    content = (built / SERVICE).read_bytes()
    assert b"    kind: str | None = None\r\n" in content
    assert content.endswith(b"\r\nMORE = 1\r\n")
    assert content.count(b"\n") == content.count(b"\r\n")


def test_the_same_request_again_changes_nothing(built, request_):
    edit(built, SERVICE, "return given", "return given  # mine")
    before = snapshot(built)
    assert update(built, request_, red) is None
    assert snapshot(built) == before


def test_an_edited_record_is_a_request(built, changed):
    record = built / FOLDER / project.RECORD
    asked = json.loads(record.read_text())
    asked["fields"]["kind"] = "enum:cat:dog"
    record.write_text(json.dumps(asked))
    assert update(built, from_json(record.read_bytes()))
    assert (built / SERVICE).read_bytes() == rendered(changed).contents[SERVICE]
    assert project.edited(built, "pet_birthday") == ()


def test_a_requirement_that_is_new_in_the_edited_record_is_open(built):
    record = built / FOLDER / project.RECORD
    asked = json.loads(record.read_text())
    asked["requirements"].append("In winter")
    record.write_text(json.dumps(asked))
    assert update(built, from_json(record.read_bytes()))
    assert '    "At noon",\n    "In winter",\n)\n' in (built / SERVICE).read_text()


@pytest.mark.parametrize("wrong", ["OPEN = ", "", "OPEN: tuple[str, ...] = (print(),)"])
def test_an_open_that_cannot_be_read_is_merged_as_any_other_line(built, changed, wrong):
    edit(built, SERVICE, 'OPEN: tuple[str, ...] = ("At noon",)', wrong)
    update(built, changed)
    assert f"\n{wrong}\n" in (built / SERVICE).read_text()
    assert "    kind: str | None = None\n" in (built / SERVICE).read_text()


def test_a_draft_of_a_change_writes_nothing(built, changed):
    before = snapshot(built)
    assert build.draft_update(built, changed).contents == rendered(changed).contents
    assert snapshot(built) == before


def test_a_file_that_is_a_link_is_not_written_through(built, changed, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "service.py"
    (built / SERVICE).rename(outside)
    (built / SERVICE).symlink_to(outside)
    assert refusal(built, changed) == f"{SERVICE} is a symbolic link"


def test_a_feature_that_was_not_built_is_refused_with_the_nearest_name(built, changed):
    other = dataclasses.replace(changed, feature="pet_brithday")
    assert refusal(built, other) == (
        "no feature of that name was built here; did you mean pet_birthday?"
    )


def test_a_requirement_whose_test_is_gone_is_red(built):
    test = built / project.test_path("pet_birthday")
    test.write_text(test.read_text().replace("def test_it_must_at_noon", "def test_mine"))
    for name in ("pet_birthday", None):
        with pytest.raises(BuildError, match="pet_birthday has no test for: At noon"):
            build.verify(built, name)


def test_a_project_without_features_has_nothing_to_verify(bare):
    assert build.verify(bare, None) == {}
