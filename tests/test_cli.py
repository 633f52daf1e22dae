"""Promises of the command line: exit codes, and nothing but the result on standard output."""

import subprocess

import pytest

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


@pytest.mark.parametrize("arguments", [["-h"], ["serve", "-h"], ["deploy", "--help"]])
def test_help_says_what_a_command_does(arguments):
    done = petsage(*arguments)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: petsage")
