"""Copies of this project, in which features are built."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from petsage.builder import BuildError, build, render
from petsage.builder.build import Prove
from petsage.builder.render import FeatureFiles
from petsage.builder.request import Request
from tests.support import ROOT, environment_of, tool


def project_copy(folder: Path) -> Path:
    """A copy of this project in `folder`, without what git ignores; returns its root."""
    listed = [tool("git"), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    root = folder / "project"
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():  # if not, it was deleted and that is not committed
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    return root


@functools.cache
def rendered(request: Request) -> FeatureFiles:
    """The files of a request, formatted by the rules of this project."""
    return render.render(request, ROOT)


def snapshot(root: Path) -> dict[str, bytes | None]:
    """Every file and folder below `root`, caches too; each file with its content."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
    }


def unproven(*_: object) -> Any:
    """Stands in for the proof in tests of something else."""


def red(*_: object) -> Any:
    """Stands in for a proof that fails."""
    raise BuildError("it is red")


def add(root: Path, request: Request, prove: Prove = unproven) -> FeatureFiles | None:
    """Builds a feature, by default without the proof."""
    return build.change(root, request, build.draft, prove)


def update(root: Path, request: Request, prove: Prove = unproven) -> FeatureFiles | None:
    """Updates a feature, by default without the proof."""
    return build.change(root, request, build.draft_update, prove)


def petsage(root: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the `petsage` of the project at `root`, in that folder; 60 s at most."""
    return subprocess.run(
        [sys.executable, "-m", "petsage", *arguments],
        **{"cwd": root, "capture_output": True, "text": True, "timeout": 60, **options},
        env=environment(),
    )


def environment() -> dict[str, str]:
    """The environment of a builder: it writes no bytecode, and mypy uses a cache of its own.

    No coverage is measured: it would be of a copy, and would take minutes.
    """
    inherited = {k: v for k, v in environment_of({}).items() if not k.startswith("COVERAGE_")}
    cache = str(ROOT / ".mypy_cache" / "proofs")
    return {**inherited, "PYTHONDONTWRITEBYTECODE": "1", "MYPY_CACHE_DIR": cache}
