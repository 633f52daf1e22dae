"""A release that was built in is the release, and nothing beside it is."""

import subprocess
import sys

import pytest

from petsage.config import Config
from petsage.release import bake, baked_release
from tests.builder.projects import project_copy
from tests.hostile import answer, says, server
from tests.support import environment_of


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The root of a copy of PetSage into which a build has written its release."""
    root = project_copy(tmp_path_factory.mktemp("image"))
    assert build(root, "2.0-rc.1").returncode == 0
    return root


def build(root, *arguments):
    command = [sys.executable, "-m", "petsage.release", *arguments]
    return run(root, command)


def petsage(root, *arguments, **variables):
    return run(root, [sys.executable, "-m", "petsage", *arguments], **variables)


def run(root, command, **variables):
    environment = {**environment_of(variables), "PYTHONPATH": str(root)}
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=60
    )


def test_without_an_image_there_is_none(tmp_path):
    assert baked_release() is None
    assert baked_release(tmp_path / "RELEASE") is None
    assert Config.load({"PETSAGE_RELEASE": "3.0"}).release == "3.0"


def test_what_is_built_in_is_read_again(tmp_path):
    bake("2026.11+é".replace("é", "e"), tmp_path / "RELEASE")
    assert baked_release(tmp_path / "RELEASE") == "2026.11+e"


@pytest.mark.parametrize(
    "release", [(), ("",), ("a b",), ("a", "b"), ("é",), ("1\n",), ("v" * 129,)]
)
def test_a_build_without_a_release_fails_in_one_line(image, release):
    refused = build(image, *release)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "RELEASE must be" in refused.stderr
    assert build(image, "2.0-rc.1").returncode == 0


def test_a_smoke_test_expects_it_unless_another_is_asked_for(image):
    with server(says(answer(release="1.0.0"))) as old:
        assert petsage(image, "smoke-test", old.url).returncode == 4
        assert petsage(image, "smoke-test", old.url, "--release", "1.0.0").returncode == 0


def test_a_variable_that_contradicts_it_is_refused_in_one_line(image):
    refused = petsage(image, "serve", release="2.0")
    assert (refused.returncode, refused.stderr) == (
        78,
        "petsage: PETSAGE_RELEASE: this image was built as release 2.0-rc.1; "
        "leave the variable out\n",
    )


def test_a_variable_that_repeats_it_is_harmless(image):
    tested = petsage(image, "serve", "--test", release="2.0-rc.1")
    assert (tested.returncode, tested.stdout) == (0, "release 2.0-rc.1 could be served\n")
