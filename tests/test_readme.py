"""Promises of the README: what it shows is what happens."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from petsage.config import Config, ConfigSchema
from tests.support import ROOT, served, tool

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)\n```", README)


def sessions():
    """Each command of the console blocks, with what it prints."""
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for shown in block.split("$ ")[1:]:
            command, _, output = shown.partition("\n")
            yield command, output


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """PetSage at the addresses that the README names."""
    tool("curl")
    with served(
        tmp_path_factory.mktemp("readme"), bind="127.0.0.1:8000", management_bind="127.0.0.1:8001"
    ) as running:
        yield running


@pytest.mark.parametrize(("command", "output"), list(sessions()))
def test_a_command_prints_what_is_shown(service, command, output):
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(
        command, shell=True, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout + done.stderr == output


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
