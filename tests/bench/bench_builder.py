"""How long a feature takes from its request to its files, and until it is proven.

    python -m pytest tests/bench/bench_builder.py

A feature with a field of every type is built in a copy of this project.
"""

import time

from petsage.builder import build
from petsage.builder.request import from_options
from tests.builder.projects import project_copy, unproven

TYPES = ("string!", "integer", "float", "boolean", "date", "datetime", "decimal", "uuid", "email")
REQUEST = from_options(
    "vet", [], [f"pet_{n}:{of}" for n, of in enumerate(TYPES)], description="Finds one"
)


def test_a_feature_is_planned_written_and_proven(tmp_path, capsys):
    root = project_copy(tmp_path)
    written = seconds(lambda: build.add(root, REQUEST, unproven))
    build.remove(root, "vet")
    proven = seconds(lambda: build.add(root, REQUEST))
    with capsys.disabled():
        print(f"\nplanned and written in {written:.2f} s, proven too in {proven:.1f} s")


def seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
