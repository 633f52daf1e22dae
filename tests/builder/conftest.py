"""Fixtures of the builder's tests."""

import pytest

from petsage.builder import plan, tree
from petsage.builder.request import from_options
from petsage.builder.tree import Disk
from tests.builder.projects import project_copy
from tests.support import ROOT


@pytest.fixture
def root(tmp_path):
    """The root of a copy of this project."""
    return project_copy(tmp_path)


@pytest.fixture
def bare(tmp_path):
    """The root of a project of which nothing can be run, but that is made in no time."""
    for path in ("petsage/api.py", "petsage/features/__init__.py", "tests/features/__init__.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "setup.cfg").write_text("[metadata]\nname = petsage\n")
    return tmp_path


@pytest.fixture(scope="session")
def request_():
    """A request with a requirement and two fields."""
    fields = ["pet:string!", "due:date"]
    return from_options("pet_birthday", "Reminds owners", ["At noon"], fields)


@pytest.fixture(scope="session")
def planned(request_):
    """The plan of that request."""
    return plan.make(request_, ROOT)


@pytest.fixture
def built(bare, planned):
    """A bare project in which the feature stands."""
    with tree.added(bare, planned, Disk()):
        return bare
