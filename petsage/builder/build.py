"""Adds a feature to the project, lists what is there, removes one."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from petsage.builder import BuildError, project, proof, render, workspace
from petsage.builder.render import FeatureFiles
from petsage.builder.request import Request
from petsage.errors import nearest

Prove = Callable[[Path, FeatureFiles], None]


@dataclass(frozen=True, slots=True)
class FeatureSummary:
    """What `petsage feature list` says of a feature."""

    feature: str
    routes: tuple[str, ...]
    open_requirements: int
    edited: tuple[str, ...]
    """Its files that are not as they were built: changed, added or missing."""

    def __str__(self) -> str:
        edits = [f"edited: {', '.join(self.edited)}"] if self.edited else []
        open_ = f"open requirements: {self.open_requirements}"
        return "  ".join([self.feature, *self.routes, open_, *edits])


def draft(root: Path, request: Request) -> FeatureFiles | None:
    """Renders a request and writes nothing; returns None if the feature stands as requested.

    Raises `BuildError` if it cannot be built here.
    """
    project.check_root(root)
    feature = request.feature
    record = project.record(root, feature)
    if record and record.request == request.to_json():
        return None
    if record:
        raise BuildError(
            f"{feature} is there already, from another request; to build it again, first "
            f"`petsage feature remove {feature}`"
        )
    for path in (project.folder(feature), project.test_path(feature)):
        if os.path.lexists(root / path):
            raise BuildError(f"{path} is there already, and was not built; take another name")
    proof.check_tools()
    _check_free(root, feature)
    return render.render(request, root)


def _check_free(root: Path, feature: str) -> None:
    application, noun = proof.application(root), render.noun(feature)
    for route in application.routes:
        if route.url == render.url(feature):
            raise BuildError(f"{route} is answered already; take another name")
    if noun in application.openapi["components"]["schemas"]:
        raise BuildError(f"there is a schema {noun} already; take another name")


def add(root: Path, request: Request, prove: Prove = proof.prove) -> FeatureFiles | None:
    """Builds a feature in a copy of the project, proves it there, and moves it in.

    Returns its files, or None if it stands as requested already. Raises `BuildError`; the project
    is then as it was, byte for byte.
    """
    project.check_root(root)
    with workspace.locked(root, request.feature):
        files = draft(root, request)
        if files:
            copy = workspace.copy_project(root)
            files.write(copy)
            prove(copy, files)
            workspace.replace(root, request.feature, copy)
        return files


def remove(
    root: Path, feature: str, force: bool = False
) -> tuple[tuple[PurePosixPath, ...], tuple[PurePosixPath, ...]]:
    """Deletes a feature; returns its files, and which of them were edited.

    Raises `BuildError` if the builder did not build it, or if it is edited and not `force`.
    """
    project.check_root(root)
    if project.record(root, feature) is None:
        built = [name for name in project.features(root) if project.record(root, name)]
        hint = nearest(feature[:64], built) if built else ""
        raise BuildError(f"no feature of that name was built here{hint}")
    with workspace.locked(root, feature):
        files = [
            path
            for path in (*project.built_files(feature), project.folder(feature) / project.RECORD)
            if os.path.lexists(root / path)
        ]
        edited = [path for path in project.edited(root, feature) if os.path.lexists(root / path)]
        if edited and not force:
            refused = (f"{path} is edited" for path in edited)
            raise BuildError(*refused, "--force deletes it all the same")
        workspace.replace(root, feature, None)
        return tuple(dict.fromkeys((*files, *edited))), tuple(edited)


def inventory(root: Path) -> tuple[FeatureSummary, ...]:
    """Every feature there is. Raises `BuildError` if the application cannot be made."""
    project.check_root(root)
    routes = proof.application(root).routes
    return tuple(
        FeatureSummary(
            name,
            tuple(str(route) for route in routes if route.feature == name),
            _open_requirements(root / project.folder(name) / "README.md"),
            tuple(map(str, project.edited(root, name))),
        )
        for name in project.features(root)
    )


def _open_requirements(readme: Path) -> int:
    try:
        lines = readme.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return sum(line.startswith("- [ ] ") for line in lines)
