"""Promises of rendering: what a request says becomes code and Markdown that say nothing else."""

import ast
import json
from pathlib import PurePosixPath

import pytest

from petsage.builder import BuildError, project, render
from petsage.builder.request import Request, from_json
from tests.builder.nasty import TEXTS, text_request
from tests.builder.projects import rendered
from tests.support import ROOT


def code(files, name):
    return ast.parse(files.contents[project.folder(files.request.feature) / name])


def test_the_text_of_every_file_is_in_the_record(files, request_):
    record = json.loads(files.contents[PurePosixPath("petsage/features/pet_birthday/request.json")])
    texts = record.pop("files")
    assert record == request_.to_json()
    assert texts == {
        str(path): files.contents[path].decode() for path in project.built_files("pet_birthday")
    }


def test_a_request_has_the_same_files_every_time(files, request_):
    assert render.render(request_, ROOT) == files


def test_what_is_built_can_be_given_as_a_request_again_or_is_refused():
    field = {"type": "string", "examples": [f"{number}{'é' * 900}" for number in range(10)]}
    asked = {"feature": "vet", "description": "d", "fields": {f"f{n}": field for n in range(45)}}
    request = from_json(json.dumps(asked, ensure_ascii=False).encode())
    with pytest.raises(BuildError, match="the request is too long: it may have 1 MiB"):
        render.render(request, ROOT)


def test_without_fields_it_is_a_get_and_with_fields_a_post(files):
    assert files.route == "POST /api/v1/pet-birthday"
    assert rendered(Request("pet_birthday", "d")).route == "GET /api/v1/pet-birthday"


@pytest.fixture(params=range(len(TEXTS)))
def number(request):
    """The number of a harmful text."""
    return request.param


def test_a_text_is_in_the_docstrings_and_does_nothing(number):
    request = text_request(number)
    view = code(rendered(request), "views.py").body[-1]
    _, _, described = ast.get_docstring(view).partition("\n\n")
    assert " ".join(described.split()) == request.description
    assert [type(statement) for statement in view.body] == [ast.Expr, ast.Return]
    service = code(rendered(request), "service.py").body[-1]
    described, refuses, harmless = ast.get_docstring(service).split("\n\n")
    assert refuses.startswith("To refuse a request, raise `petsage.features.Refused(")
    assert " ".join(described.split()) == request.description
    assert harmless.startswith("Once OPEN is empty, the smoke check calls this too")
    assert [type(statement) for statement in service.body] == [ast.Expr, ast.If, ast.Return]


@pytest.mark.parametrize(("of", "count"), [("date", 0), ("datetime", 1), ("list:datetime!", 1)])
def test_the_readme_explains_a_datetime_without_an_offset(of, count):
    files = rendered(Request("vet", "d", (), (("at", of),)))
    readme = files.contents[project.folder("vet") / "README.md"].decode()
    assert readme.count("A datetime\nwithout an offset is taken as UTC. For example:") == count


def test_a_description_and_a_requirement_are_each_one_line_of_the_readme(number):
    request = text_request(number)
    files = rendered(request)
    readme = files.contents[project.folder(request.feature) / "README.md"].decode()
    described = readme.splitlines()[2]
    (required,) = [line for line in readme.splitlines() if line.startswith("- ")][-1:]
    assert described.replace("\\", "") == request.description.replace("\\", "")
    assert required.removeprefix("- ").replace("\\", "") == request.description.replace("\\", "")
    assert readme.count("\n#") == 1
    assert readme.count("\n- ") == 1 + len(request.fields)
    assert "<" not in readme.replace("\\<", "")


def test_the_tests_are_counted(files):
    assert files.tests == 5
    assert rendered(Request("vet", "d")).tests == 4


def test_no_comment_is_in_the_code_and_nothing_is_left_of_the_templates(files):
    for path, content in files.contents.items():
        if path.suffix == ".py":
            assert b"#" not in content
            assert b"{{" not in content
            assert b"{%" not in content


def test_a_formatter_that_refuses_is_named(root, request_):
    (root / "pyproject.toml").write_text("[tool.ruff]\nline-length = 'long'\n")
    with pytest.raises(BuildError, match="the formatter refuses: "):
        render.render(request_, root)


def test_the_tree_shows_every_folder_and_file():
    paths = map(PurePosixPath, ["tests/t.py", "petsage/a/y.py", "petsage/a/x.py"])
    assert render.tree(paths).splitlines() == [
        ".",
        "├── petsage",
        "│   └── a",
        "│       ├── x.py",
        "│       └── y.py",
        "└── tests",
        "    └── t.py",
    ]


def test_every_word_of_a_field_reaches_schema_service_readme_and_tests():
    age = {"type": "integer", "minimum": 1, "maximum": 30, "description": "In *years*"}
    name = {"type": "string", "minLength": 2, "maxLength": 9, "default": "Bello"}
    asked = {"feature": "vet", "description": "d", "fields": {"age": age, "name": name}}
    contents = render.render(from_json(json.dumps(asked).encode()), ROOT).contents
    folder = project.folder("vet")
    for path, lines in {
        folder / "schemas.py": [
            "validate=validate.Range(min=1, max=30)",
            'metadata={"description": "In *years*"}',
            'name = fields.String(validate=validate.Length(min=2, max=9), load_default="Bello")',
        ],
        folder / "service.py": ["    age: int | None = None\n", '    name: str = "Bello"\n'],
        folder / "README.md": [
            "- `age`: `integer`, minimum `1`, maximum `30`: In \\*years\\*\n",
            '- `name`: `string`, minLength `2`, maxLength `9`, default `"Bello"`\n',
        ],
        project.test_path("vet"): [
            '("age", 1),\n    ("age", 30),\n    ("name", "x" * 2),\n    ("name", "x" * 9),',
            '("age", 0),\n    ("age", 31),\n    ("name", "x" * 1),\n    ("name", "x" * 10),',
        ],
    }.items():
        for line in lines:
            assert line in contents[path].decode()


@pytest.mark.parametrize(
    ("requirements", "names"),
    [
        (["Write at noon, in the owner's time zone"], ["write_at_noon_in_the_owners_time_zone"]),
        (["a b", "A: b!", "猫", "犬"], ["a_b", "a_b_2", "", "4"]),
        (["x" * 500], ["x" * 47]),
        (["a 3", "a", "A"], ["a_3", "a", "a_3_3"]),
    ],
)
def test_each_requirement_has_a_test_that_is_named_after_it(requirements, names):
    named = render.test_names(requirements)
    assert list(named) == [f"test_it_must_{name}".rstrip("_") for name in names]
    assert list(named.values()) == requirements
