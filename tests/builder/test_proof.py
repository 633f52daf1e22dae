"""Promises of the proof: what is built stands before the project's own tools, or it is red."""

import subprocess
import sys

import pytest

from petsage.builder import BuildError, build, plan, programs, proof, tree, types
from petsage.builder.request import Request, from_options
from petsage.builder.tree import Disk
from tests.builder.nasty import TEXTS
from tests.builder.projects import snapshot
from tests.support import ROOT, environment_of

EVERY_TYPE = [
    *("string", "integer", "float", "boolean", "date", "datetime", "decimal", "uuid", "email"),
    *("url", "enum:a b:c", "enum:one", "enum:dt.a:UUID", "enum:ExactDecimal:b"),
]
ALL_FIELDS = {
    f"{word}_{number}": f"{before}{of}{after}"
    for number, of in enumerate(EVERY_TYPE)
    for word, before, after in [
        ("one", "", ""),
        ("own", "", "!"),
        ("all", "list:", ""),
        ("any", "list:", "!"),
    ]
}
AWKWARD = {name: name for name in ("date", "datetime", "decimal", "uuid", "email", "url")}


def never():
    """Nobody interrupts."""


def test_every_type_and_every_text_makes_code_that_the_tools_find_nothing_in(root):
    texts = [Request(f"text_{number}", text, (text,)) for number, text in enumerate(TEXTS)]
    alone = ["string", "float!", "date", "datetime!", "list:decimal", "uuid!", "list:enum:a:b"]
    alone += ["enum:dt.a:b", "list:enum:ExactDecimal:b", "decimal!", "enum:Decimal:UUID!"]
    varied = [
        *(Request(f"only_{number}", "d", (), (("a", of),)) for number, of in enumerate(alone)),
        Request("awkward", "d", (), (*AWKWARD.items(), ("id", "integer"), ("type", "list:date"))),
        Request(
            "word_" * 7 + "pet_2", "d", (), (("pet", f"enum:{':'.join(map(str, range(90)))}"),)
        ),
        Request("a" * 40, "d", (), (("a" * 40, "list:datetime!"),)),
        Request("b" * 40, "d"),
    ]
    for request in (*texts, *varied):
        with tree.added(root, plan.make(request, root), Disk()):
            pass
    features = ("petsage/features", "tests/features")
    ended = programs.run(
        {
            "lint": ("ruff", "check", "--no-cache", *features),
            "format": ("ruff", "format", "--no-cache", "--check", *features),
            "mypy": ("mypy", "--cache-dir=/dev/null", "petsage"),
            "tests": ("pytest", "-q", *(str(plan.test_path(one.feature)) for one in varied)),
        },
        root,
    )
    assert [one.output for one in ended.values() if one.code] == []


def test_all_types_in_one_feature_are_proven_and_leave_no_caches(root):
    request = Request("everything", TEXTS[0], (), tuple(ALL_FIELDS.items())[:50])
    before = snapshot(root)
    planned = build.add(root, request)
    after = snapshot(root)
    assert after.keys() - before.keys() == {
        *map(str, planned.files),
        str(plan.folder("everything")),
    }


@pytest.mark.parametrize("before", ["", "list:"])
def test_the_generated_tests_see_a_field_of_any_type_that_takes_all_texts(root, before):
    paths = []
    for number, asked in enumerate(EVERY_TYPE):
        planned = plan.make(Request(f"pet_{number}", "d", (), (("a", before + asked),)), root)
        with tree.added(root, planned, Disk()):
            weaken(root / plan.folder(f"pet_{number}") / "schemas.py", types.parse(asked))
        paths.append(str(plan.test_path(f"pet_{number}")))
    ended = programs.run({"tests": ("pytest", "-q", *paths)}, root)["tests"]
    assert not [path for path in paths if f"FAILED {path}" not in ended.output], ended.output


def weaken(schemas, of):
    sound, weak = schemas.read_text(), "fields.Raw(" if of.example == "Rex" else "fields.String("
    declared = f"{of.field}({', '.join(of.options)}".replace("'", '"')
    assert declared in sound
    weakened = sound.replace(declared, weak).replace("(, ", "(")
    schemas.write_text(weakened.replace("import Schema", "import fields, Schema"))


@pytest.fixture
def written(root, planned):
    """The root of a project in which a plan is written, unproven, and the plan."""
    with tree.added(root, planned, Disk()):
        return root, planned


def red(root, planned):
    with pytest.raises(BuildError) as caught:
        proof.prove(root, planned, never)
    return "\n".join(caught.value.problems)


def append(root, path, text):
    with (root / path).open("a") as file:
        file.write(text)


def test_all_that_is_red_is_told_with_what_the_tools_say(written):
    root, planned = written
    folder = plan.folder("pet_birthday")
    append(root, folder / "service.py", "\n\nimport os\nx:int=''\n")
    append(root, plan.test_path("pet_birthday"), "\n\ndef test_no():\n    assert False\n")
    told = red(root, planned)
    for tool, why in [
        ("linter", "F401"),
        ("type checker", "Incompatible types in assignment"),
        ("tests", "1 failed, 5 passed"),
    ]:
        assert f"the {tool} is red:" in told
        assert why in told


def test_another_number_of_tests_is_red_even_if_no_test_fails(written):
    root, planned = written
    skipped = "\n\ndef test_no():\n    pytest.skip('no')\n"
    append(root, plan.test_path("pet_birthday"), f"\n\nimport pytest\n{skipped}")
    told = red(root, planned)
    assert "the tests are '5 passed, 1 skipped in" in told
    assert "not 5 passed" in told


def test_a_route_that_another_feature_has_is_red(written):
    root, planned = written
    with tree.added(root, plan.make(Request("vet", "d", (), (("pet", "date"),)), root), Disk()):
        pass
    views = root / plan.folder("vet") / "views.py"
    views.write_text(views.read_text().replace('"/vet"', '"/pet-birthday"'))
    assert "the route POST /api/v1/pet-birthday is taken twice" in red(root, planned)


def test_a_feature_without_its_route_and_an_openapi_document_that_is_not_valid_are_red(written):
    root, planned = written
    views = root / plan.folder("pet_birthday") / "views.py"
    wrong = '@blueprint.doc(parameters=[{"in": "nowhere", "name": "pet"}])\ndef pet_birthday'
    text = views.read_text().replace("def pet_birthday", wrong)
    views.write_text(text.replace('"/pet-birthday"', '"/elsewhere"'))
    told = red(root, planned)
    assert "the application has no route POST /api/v1/pet-birthday" in told
    assert "the OpenAPI document is not valid: " in told


def test_a_feature_that_cannot_be_imported_is_red_with_its_name(written):
    root, planned = written
    append(root, plan.folder("pet_birthday") / "service.py", "\nraise RuntimeError('gone')\n")
    told = red(root, planned)
    assert "the application cannot be made: petsage.FeatureError" in told
    assert "feature 'pet_birthday' cannot be imported: gone" in told


def test_a_missing_tool_is_told_in_one_line():
    with pytest.raises(BuildError) as caught:
        proof.check_tools(lambda name: None if name in ("mypy", "ruff") else name)
    assert caught.value.problems == ("the proof needs mypy, ruff: pip install 'petsage[test]'",)


def test_programs_end_when_they_have_to(root):
    (root / "endless.py").write_text("import signal\nsignal.pause()\n")

    def obey():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        programs.run({"endless": ("endless",)}, root, obey)


def test_options_for_pytest_in_the_environment_do_not_reach_the_proof(tmp_path):
    (tmp_path / "told.py").write_text("import os; print([os.environ.get('PYTEST_ADDOPTS')])")
    ask = (
        "from pathlib import Path; from petsage.builder import programs;"
        "print(programs.run({'told': ('told',)}, Path())['told'].output)"
    )
    environment = {**environment_of({}), "PYTEST_ADDOPTS": "-v", "PYTHONPATH": str(ROOT)}
    told = subprocess.check_output([sys.executable, "-c", ask], cwd=tmp_path, env=environment)
    assert told.split() == [b"['']"]


def test_options_of_a_request_reach_the_code(root):
    request = from_options("vet", "d", [], ["kind:enum:cat:dog!", "tags:list:string"])
    schema = plan.make(request, root).files[plan.folder("vet") / "schemas.py"].decode()
    assert 'kind = fields.String(validate=validate.OneOf(["cat", "dog"]), required=True)' in schema
    assert "tags = fields.List(fields.String(), load_default=None)" in schema
