"""Fixtures of the builder's tests."""

import os
import shutil

import pytest

from petsage.builder import project
from petsage.builder.request import from_options
from tests.builder.projects import environment, project_copy, rendered
from tests.support import ROOT


@pytest.fixture
def root(tmp_path):
    """The root of a copy of this project."""
    return project_copy(tmp_path)


@pytest.fixture
def bare(tmp_path):
    """The root of a project that has hardly any files: made quickly, but nothing in it can run."""
    for path in ("petsage/api.py", "petsage/features/__init__.py", "tests/features/__init__.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "setup.cfg").write_text("[metadata]\nname = petsage\n")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def request_():
    """A request with a requirement and two fields."""
    fields = ["pet:string!", "due:date"]
    return from_options("pet_birthday", ["At noon"], fields, description="Reminds owners")


@pytest.fixture(scope="session")
def files(request_):
    """The files of that request."""
    return rendered(request_)


@pytest.fixture
def built(bare, files):
    """A bare project that has the feature."""
    project.write(bare, files.contents)
    return bare


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in os.environ.keys() - environment().keys():
        if name.startswith("COVERAGE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MYPY_CACHE_DIR", environment()["MYPY_CACHE_DIR"])
