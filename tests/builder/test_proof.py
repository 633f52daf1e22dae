"""Promises of the proof: what is built stands before the project's own tools, or it is red."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from petsage.builder import BuildError, build, project, proof, render
from petsage.builder.request import Request, from_options
from tests.builder.nasty import TEXTS, text_request
from tests.builder.projects import rendered, snapshot
from tests.support import ROOT, environment_of, running, wait_until

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
QUICK = ("-q", "-pno:schemathesis")  # it takes seconds to load
AWKWARD = {name: name for name in ("date", "datetime", "decimal", "uuid", "email", "url")}


def test_every_type_and_every_text_makes_code_that_the_tools_find_nothing_in(root):
    texts = [text_request(number) for number in range(len(TEXTS))]
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
        project.write(root, rendered(request).contents)
    features = ("petsage/features", "tests/features")
    ended = proof.run(
        {
            "lint": ("ruff", "check", "--no-cache", *features),
            "format": ("ruff", "format", "--no-cache", "--check", *features),
            "mypy": ("mypy", "petsage"),
            "tests": ("pytest", *QUICK, *(str(project.test_path(one.feature)) for one in varied)),
        },
        root,
    )
    assert [one.stdout for one in ended.values() if one.returncode] == []


def test_all_types_in_one_feature_are_proven_and_leave_no_caches(root):
    request = Request("everything", TEXTS[0], (), tuple(ALL_FIELDS.items())[:50])
    before = snapshot(root)
    files = build.change(root, request, build.draft)
    after = snapshot(root)
    assert after.keys() - before.keys() == {
        *map(str, files.contents),
        str(project.folder("everything")),
    }


@pytest.mark.parametrize("before", ["", "list:"])
def test_the_generated_tests_see_a_field_of_any_type_that_takes_all_texts(root, before):
    paths = []
    for number, asked in enumerate(EVERY_TYPE):
        files = rendered(Request(f"pet_{number}", "d", (), (("a", before + asked),)))
        project.write(root, files.contents)
        weaken(root / project.folder(f"pet_{number}") / "schemas.py", before, asked)
        paths.append(str(project.test_path(f"pet_{number}")))
    ended = proof.run({"tests": ("pytest", *QUICK, "-kwrong_field", *paths)}, root)["tests"]
    assert not [path for path in paths if f"FAILED {path}" not in ended.stdout], ended.stdout


def weaken(schemas, before, asked):
    """Makes the field take every text, or where its type is a text, every value."""
    weak = "fields.Raw(" if asked == "string" else "fields.String("
    declared = f"fields.List({weak}), " if before else weak
    end = "load_default=None)\n\n    @post_load"
    code, replaced = re.subn(r"(?s)(?<=    a = ).*?@post_load", declared + end, schemas.read_text())
    assert replaced == 1
    schemas.write_text(code.replace("import Schema", "import fields, Schema"))


@pytest.fixture
def written(root, files):
    """The root of a project with the files of a feature."""
    project.write(root, files.contents)
    return root


def red(root, *features, passed=5):
    with pytest.raises(BuildError) as caught:
        proof.prove(root, features or ["pet_birthday"], passed)
    return "\n".join(caught.value.problems)


def append(root, path, text):
    with (root / path).open("a") as file:
        file.write(text)


def test_all_that_is_red_is_printed_with_what_the_tools_say(written):
    root = written
    folder = project.folder("pet_birthday")
    append(root, folder / "service.py", "\n\nimport os\nx:int=''\n")
    append(root, project.test_path("pet_birthday"), "\n\ndef test_no():\n    assert False\n")
    printed = red(root)
    for tool, why in [
        ("linter", "F401"),
        ("type checker", "Incompatible types in assignment"),
        ("test suite", "1 failed, 5 passed, 1 xfailed"),
    ]:
        assert f"the {tool} is red:" in printed
        assert why in printed


OWN = """\
from flask_smorest import Blueprint

from petsage import Check

blueprint = Blueprint("{name}", __name__)
check = Check("{name}", lambda: None, {{"smoke"}})
"""
TWICE = """

@blueprint.route("/own/<a>")
def one(a: str) -> str:
    return a


@blueprint.route("/own/<b>")
def other(b: str) -> str:
    return b
"""


def test_a_fault_that_no_tool_finds_is_red_too(written):
    root = written
    test = project.test_path("pet_birthday")
    append(root, test, "\n\ndef test_no():\n    pytest.skip('no')\n")
    views = root / project.folder("pet_birthday") / "views.py"
    wrong = '@blueprint.doc(parameters=[{"in": "nowhere", "name": "pet"}])\ndef pet_birthday'
    views.write_text(views.read_text().replace("def pet_birthday", wrong))
    for name, routes in [("own", TWICE), ("routeless", "")]:
        (root / project.folder(name)).mkdir()
        code = OWN.format(name=name) + routes
        (root / project.folder(name) / "__init__.py").write_text(code)
        (root / project.test_path(name)).write_text("def test_nothing():\n    pass\n")
    printed = red(root, "pet_birthday", "own", "routeless")
    assert "the tests are '7 passed, 1 skipped, 1 xfailed in" in printed
    assert "not 5 passed, 1 xfailed" in printed
    assert "two views answer GET /own/<>" in printed
    assert "the application has no route of routeless" in printed
    assert "the OpenAPI document is not valid: " in printed
    assert "is red" not in printed


def keep(root, text, *, test=True, service=True):
    """Keeps the only requirement: writes its test, and takes it out of `OPEN`."""
    test_file = root / project.test_path("pet_birthday")
    if test:
        kept = test_file.read_text().replace("raise NotImplementedError", text)
        test_file.write_text(kept)
    if service:
        path = root / project.folder("pet_birthday") / "service.py"
        path.write_text(path.read_text().replace('("At noon",)', "()"))


def test_a_requirement_is_kept_by_its_test_and_by_leaving_open(written):
    root = written
    keep(root, "assert client")
    made = proof.prove(root, ["pet_birthday"])
    assert made.open_requirements == {"pet_birthday": []}


@pytest.mark.parametrize(
    ("forgotten", "printed"),
    [
        ({"service": False}, "[XPASS(strict)] open"),
        ({"test": False}, "raise NotImplementedError"),
    ],
)
def test_a_requirement_whose_test_or_whose_entry_is_forgotten_is_red(written, forgotten, printed):
    root = written
    keep(root, "assert client", **forgotten)
    assert printed in red(root, passed=None)


def test_a_feature_that_cannot_be_imported_is_red_with_its_name(written):
    root = written
    append(root, project.folder("pet_birthday") / "service.py", "\nraise RuntimeError('gone')\n")
    printed = red(root)
    assert "the application cannot be made: petsage.errors.FeatureError" in printed
    assert "feature 'pet_birthday' cannot be imported: gone" in printed


def test_a_missing_tool_is_named_in_one_line():
    with pytest.raises(BuildError) as caught:
        proof.check_tools(lambda name: None if name in ("mypy", "ruff") else name)
    assert caught.value.problems == ("the proof needs mypy, ruff: pip install '.[test]'",)


def test_no_program_outlives_an_interrupt(tmp_path):
    (tmp_path / "endless.py").write_text(
        "import pathlib, os, signal, sys\n"
        "pathlib.Path('pid').write_text(str(os.getpid()))\nsignal.pause()\n"
    )
    code = (
        "from pathlib import Path; from petsage.builder import proof;"
        "proof.run({'endless': ('endless',)}, Path())"
    )
    environment = {**environment_of({}), "PYTHONPATH": str(ROOT)}
    with running(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stderr=subprocess.PIPE
    ) as one:
        pid = wait_until((tmp_path / "pid").read_text, 30)
        one.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in one.communicate(timeout=30)[1]
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_options_for_pytest_in_the_environment_do_not_reach_the_proof(tmp_path):
    (tmp_path / "asked.py").write_text("import os; print([os.environ.get('PYTEST_ADDOPTS')])")
    ask = (
        "from pathlib import Path; from petsage.builder import proof;"
        "print(proof.run({'asked': ('asked',)}, Path())['asked'].stdout)"
    )
    environment = {**environment_of({}), "PYTEST_ADDOPTS": "-v", "PYTHONPATH": str(ROOT)}
    printed = subprocess.check_output([sys.executable, "-c", ask], cwd=tmp_path, env=environment)
    assert printed.split() == [b"['']"]


def test_options_of_a_request_reach_the_code(root):
    request = from_options("vet", [], ["kind:enum:cat:dog!", "tags:list:string"], description="d")
    schema = render.render(request, root).contents[project.folder("vet") / "schemas.py"].decode()
    assert 'kind = fields.String(validate=validate.OneOf(["cat", "dog"]), required=True)' in schema
    assert "tags = fields.List(fields.String(), load_default=None)" in schema
