"""How long a feature takes until it is proven, what a kill leaves, and ten users' requests.

    python -m pytest tests/bench/bench_builder.py

The feature has a field of every type, and is built in a copy of this project.
"""

import random
import time

import pytest

from petsage.builder import build
from petsage.builder.request import from_options
from tests.builder.kills import ADD, REMOVE, UPDATE, Killed
from tests.builder.life import REQUESTS, live
from tests.builder.projects import add, project_copy

TYPES = ("string!", "integer", "float", "boolean", "date", "datetime", "decimal", "uuid", "email")
FIELDS = [f"pet_{number}:{of}" for number, of in enumerate(TYPES)]


def test_a_feature_is_planned_written_and_proven(tmp_path, capsys):
    root = project_copy(tmp_path)
    request = from_options("vet", [], FIELDS, description="Finds one")
    changed = from_options("vet", [], [*FIELDS, "more:url"], description="Finds one")
    written = seconds(lambda: add(root, request))
    build.remove(root, "vet")
    proven = seconds(lambda: build.change(root, request, build.draft))
    updated = seconds(lambda: build.change(root, changed, build.draft_update))
    with capsys.disabled():
        print(f"\nplanned and written in {written:.2f} s, proven too in {proven:.1f} s")
        print(f"updated and proven in {updated:.1f} s")
    assert written < 5
    assert proven < 60
    assert updated < 60


def seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@pytest.mark.timeout(1800)
def test_fifty_builders_that_are_killed_leave_all_or_nothing(tmp_path, capsys):
    killed = Killed(project_copy(tmp_path), UPDATE, REMOVE, ADD)
    for number in range(50):
        killed.kill(number, random.random())
    with capsys.disabled():
        print(f"\nafter a kill, [as before, whole]: {killed}")


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.stem)
def test_a_request_of_a_user_lives_its_life_and_leaves_no_trace(tmp_path, request_):
    live(project_copy(tmp_path), request_, tmp_path)
