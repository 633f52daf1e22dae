"""Promises of the README: what it shows is what happens."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from petsage import Check
from petsage.config import Config, ConfigSchema
from tests.builder.projects import project_copy
from tests.support import ROOT, served, tool

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)\n```", README)


SESSIONS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """PetSage on free ports, which `moved` puts in place of the README's default ones."""
    tool("curl")
    with served(tmp_path_factory.mktemp("readme")) as running:
        yield running


def moved(text, service):
    """The text with the addresses of this service in place of the default ones."""
    sides = {"127.0.0.1:8000": service.main, "127.0.0.1:8001": service.management}
    for default, url in sides.items():
        text = text.replace(default, url.removeprefix("http://"))
    return text


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.partition("\n")[0])
def test_each_command_prints_what_is_shown(service, tmp_path, session):
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    root = project_copy(tmp_path)
    for example in moved(session, service).removeprefix("$ ").split("\n$ "):
        command, _, output = example.partition("\n")
        done = subprocess.run(
            command,
            shell=True,
            cwd=root,
            env={"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        wanted = ".*".join(map(re.escape, output.rstrip("\n").split("…")))
        assert re.fullmatch(wanted, done.stdout.rstrip("\n")), done.stdout


def test_the_commands_of_the_readme_are_those_that_continuous_integration_runs():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    run, test = COMMANDS[:2]
    for command in (*run.split(" && ")[:1], *test.split(" && ")):
        assert command in script.replace(" -q --disable-pip-version-check", "")


def test_every_variable_is_in_the_table_with_its_default():
    rows = dict(re.findall(r"^\| `PETSAGE_(\w+)` \| (.+?) \|", README, re.MULTILINE))
    assert [name.lower() for name in rows] == list(ConfigSchema._declared_fields)
    defaults = Config.load({})
    for name, default in rows.items():
        if default.startswith("`"):
            assert default == f"`{getattr(defaults, name.lower())}`"


def test_every_line_of_python_is_the_shops():
    files = [path.read_text() for path in (ROOT / "tests/examples").rglob("*.py")]
    shop = [[line.strip() for line in text.splitlines()] for text in files]
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        lines = [line.strip() for line in block.splitlines()]
        assert any(
            lines == text[at : at + len(lines)] for text in shop for at in range(len(text))
        ), block


def test_every_option_of_a_check_is_in_the_table_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", README, re.MULTILINE))
    options = [one for one in fields(Check) if one.name not in ("name", "run")]
    for option in options:
        default = eval(rows[option.name], {})
        assert default == option.default
