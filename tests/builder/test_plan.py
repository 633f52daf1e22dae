"""Promises of a plan: what a request says becomes code and Markdown that say nothing else."""

import ast
import json
from pathlib import PurePosixPath

import pytest

from petsage.builder import BuildError, plan
from petsage.builder.request import Request, from_options
from tests.builder.nasty import TEXTS
from tests.support import ROOT


def code(planned, name):
    return ast.parse(planned.files[plan.folder(planned.request.feature) / name])


def test_every_file_has_its_hash_in_the_request_file(planned, request_):
    record = json.loads(planned.files[PurePosixPath("petsage/features/pet_birthday/request.json")])
    hashes = record.pop("files")
    assert record == request_.to_json()
    assert hashes == {
        str(path): plan.digest(planned.files[path]) for path in plan.paths("pet_birthday")
    }


def test_a_plan_is_the_same_every_time(planned, request_):
    assert plan.make(request_, ROOT) == planned


def test_without_fields_it_is_a_get_and_with_fields_a_post(planned):
    assert planned.route == "POST /api/v1/pet-birthday"
    assert plan.make(Request("pet_birthday", "d"), ROOT).route == "GET /api/v1/pet-birthday"


@pytest.mark.parametrize("text", TEXTS)
def test_a_description_is_told_in_the_docstring_of_its_view_and_does_nothing(text):
    description = from_options("vet", text, [], []).description
    view = code(plan.make(Request("vet", description), ROOT), "views.py").body[-1]
    summary, _, told = ast.get_docstring(view).partition("\n\n")
    assert summary == "Vet"
    assert " ".join(told.split()) == description
    assert [type(statement) for statement in view.body] == [ast.Expr, ast.Return]


@pytest.mark.parametrize("text", TEXTS)
def test_a_description_and_a_requirement_are_each_one_line_of_the_readme(text):
    request = from_options("vet", text, [text], [])
    readme = plan.make(request, ROOT).files[plan.folder("vet") / "README.md"].decode()
    described, boxes = readme.splitlines()[2], readme.splitlines()[-1]
    assert described.replace("\\", "") == request.description.replace("\\", "")
    assert boxes.removeprefix("- [ ] ").replace("\\", "") == request.description.replace("\\", "")
    assert readme.count("\n- [ ] ") == 1
    assert readme.count("\n#") == 1
    assert "<" not in readme.replace("\\<", "")


def test_the_tests_are_counted(planned):
    assert planned.tests == 5
    assert plan.make(Request("vet", "d"), ROOT).tests == 4


def test_no_comment_is_in_the_code_and_nothing_is_left_of_the_templates(planned):
    for path, content in planned.files.items():
        if path.suffix == ".py":
            assert b"#" not in content
            assert b"{{" not in content
            assert b"{%" not in content


def test_a_formatter_that_refuses_is_told(root, request_):
    (root / "pyproject.toml").write_text("[tool.ruff]\nline-length = 'long'\n")
    with pytest.raises(BuildError, match="the formatter refuses petsage/features/pet_birthday/"):
        plan.make(request_, root)


def test_the_tree_shows_every_folder_and_file():
    paths = map(PurePosixPath, ["tests/t.py", "petsage/a/y.py", "petsage/a/x.py"])
    assert plan.tree(paths).splitlines() == [
        ".",
        "├── petsage",
        "│   └── a",
        "│       ├── x.py",
        "│       └── y.py",
        "└── tests",
        "    └── t.py",
    ]
