"""Promises of the command line: exit codes, and nothing but the result on standard output."""

import subprocess
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from petsage.cli import main
from petsage.config import package_version
from tests.support import PETSAGE


def petsage(*arguments):
    return subprocess.run([PETSAGE, *arguments], capture_output=True, text=True, timeout=60)


def test_the_version_is_printed():
    done = petsage("--version")
    assert (done.returncode, done.stdout) == (0, f"petsage {package_version()}\n")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["srve"], "No such command 'srve'"),
        (["serve", "--port", "1"], "No such option"),
        (["serve", "a:b", "c:d"], "unexpected extra argument"),
        (["deploy", "ngnix"], "No such command 'ngnix'"),
    ],
)
def test_wrong_usage_is_2_with_what_would_be_right(arguments, hint):
    done = petsage(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert hint in done.stderr
    assert "Usage: petsage" in done.stderr


def test_both_options_for_help_print_it():
    short, long = petsage("serve", "-h"), petsage("serve", "--help")
    assert short.stdout.startswith("Usage: petsage serve")
    assert (short.returncode, short.stderr, short.stdout) == (0, "", long.stdout)


def commands(
    command: click.Command, *names: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all below it, each with its names."""
    yield names, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if below := command.get_command(context, name):
                yield from commands(below, *names, name)


COMMANDS = dict(commands(main))


def usage(*names: str) -> str:
    """A command's help on a terminal of 80 columns."""
    return CliRunner().invoke(main, [*names, "--help"], terminal_width=80).output


@pytest.mark.parametrize("names", [names for names in COMMANDS if names], ids=" ".join)
def test_the_help_of_each_command_has_an_example_and_explains_each_option(names):
    options = [one for one in COMMANDS[names].params if isinstance(one, click.Option)]
    assert [option.name for option in options if not option.help] == []
    example = usage(*names).partition("\n  Example:\n")[2]
    assert example.startswith(f"    petsage {' '.join(names)}")


@pytest.mark.parametrize("group", [(), ("feature",), ("deploy",)], ids=" ".join)
def test_a_group_lists_each_command_with_its_whole_first_sentence(group):
    listed = usage(*group).partition("\nCommands:\n")[2].splitlines()
    below = [names[-1] for names in COMMANDS if names and names[:-1] == group]
    assert [line.split()[0] for line in listed] == below
    assert all(line.endswith(".") and not line.endswith("...") for line in listed)
