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
@pytest.mark.parametrize("fields", [[], ["pet:date"]])
def test_a_service_tells_the_description_and_that_the_smoke_check_runs_it(text, fields):
    request = from_options("vet", text, [], fields)
    service = code(plan.make(request, ROOT), "service.py").body[-1]
    told, _, harmless = ast.get_docstring(service).rpartition("\n\n")
    assert " ".join(told.split()) == request.description
    assert harmless.startswith("The smoke check runs it too")
    assert [type(statement) for statement in service.body] == [ast.Expr, ast.Return]


@pytest.mark.parametrize(("of", "told"), [("date", 0), ("datetime", 1), ("list:datetime!", 1)])
def test_the_readme_tells_of_a_datetime_without_an_offset(of, told):
    planned = plan.make(Request("vet", "d", (), (("at", of),)), ROOT)
    readme = planned.files[plan.folder("vet") / "README.md"].decode()
    assert readme.count("A datetime\nwithout an offset is taken as UTC. For example:") == told


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
