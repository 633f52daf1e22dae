"""Adds, updates, verifies, lists and removes features of the project."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from petsage.builder import BuildError, project, proof, render, workspace
from petsage.builder.project import BuildRecord
from petsage.builder.proof import ApplicationDescription
from petsage.builder.render import FeatureFiles
from petsage.builder.request import Request, load
from petsage.errors import nearest

Draft = Callable[[Path, Request], FeatureFiles | None]
Prove = Callable[[Path, Sequence[str], int | None], ApplicationDescription]


@dataclass(frozen=True, slots=True)
class FeatureSummary:
    """A feature as `petsage feature list` prints it."""

    feature: str
    routes: tuple[str, ...]
    open_requirements: int
    edited: tuple[str, ...]
    """Its files that are not as they were built: changed, added or deleted."""

    def __str__(self) -> str:
        edits = [f"edited: {', '.join(self.edited)}"] if self.edited else []
        open_ = f"open requirements: {self.open_requirements}"
        return "  ".join([self.feature, *self.routes, open_, *edits])


def draft(root: Path, request: Request) -> FeatureFiles | None:
    """Renders a request, and writes nothing; returns None if the feature is there as requested.

    Raises `BuildError` if it cannot be built here.
    """
    project.check_root(root)
    feature = request.feature
    if record := project.record(root, feature):
        if record.request == request.to_json():
            return None
        raise BuildError(
            f"{feature} is there already, from another request: `petsage feature update` changes it"
        )
    for path in project.taken(root, feature):
        raise BuildError(
            f"{path} is there already, and the builder did not make it; take another name"
        )
    proof.check_tools()
    _check_free(root, feature)
    return render.render(request, root)


def _check_free(root: Path, feature: str) -> None:
    application, noun = proof.application(root), render.noun(feature)
    for route, _ in application.routes:
        if route.partition(" ")[2] == render.url(feature):
            raise BuildError(f"{route} is answered already; take another name")
    if noun in application.openapi["components"]["schemas"]:
        raise BuildError(f"there is a schema {noun} already; take another name")


def draft_update(root: Path, request: Request) -> FeatureFiles | None:
    """Renders a changed request, merged with what was edited; returns None if no file changes.

    Raises `BuildError` if the feature was not built here, and for every conflict.
    """
    record = _record(root, request.feature)
    proof.check_tools()
    requested = render.render(request, root, _kept_requirements(root, request, record)).contents
    files = project.merged(root, record, requested)
    record_path = project.folder(request.feature) / project.RECORD
    texts = {path: content.replace(b"\r\n", b"\n") for path, content in files.items()}
    if all(project.content(root / path) == texts[path] for path in texts if path != record_path):
        return None
    return FeatureFiles(request, files)


def _kept_requirements(root: Path, request: Request, record: BuildRecord) -> set[str]:
    """The requirements that were built with a test, and that `OPEN` does not name any more."""
    service = project.content(root / project.folder(request.feature) / "service.py") or b""
    statement = project.open_statement(service)
    tested = _tested(request, record.files.get(project.test_path(request.feature), b""))
    return tested - statement[1] if statement else set()


def _tested(request: Request, tests: bytes) -> set[str]:
    """The requirements that have a test of their own."""
    named = render.test_names(request.requirements).items()
    return {requirement for test, requirement in named if f"\ndef {test}(".encode() in tests}


def change(
    root: Path, request: Request, draft: Draft, prove: Prove = proof.prove
) -> FeatureFiles | None:
    """Writes the draft's files into a copy of the project, proves them, and moves them in.

    Returns the files, or None if there is nothing to do. Raises `BuildError`, and the project is as
    it was, byte for byte; or `OSError`, and the change is done completely or not at all.
    """
    project.check_root(root)
    with workspace.locked(root, request.feature):
        if files := draft(root, request):
            edited = project.edited(root, request.feature)
            copy = workspace.copy_project(root)
            project.write(copy, files.contents)
            prove(copy, [request.feature], None if edited else files.tests)
            workspace.move_in(root, request.feature, copy, files.contents)
        return files


def verify(root: Path, feature: str | None) -> Mapping[str, Sequence[str]]:
    """Proves a feature as it is, or all of them; returns the open requirements of each.

    Raises `BuildError` with everything that is red.
    """
    project.check_root(root)
    features = [feature] if feature else _built(root)
    for name in features:
        _check_tests(root, load(_record(root, name).request))
    if not features:
        return {}
    proof.check_tools()
    with workspace.locked(root, features[0]):
        application = proof.prove(workspace.copy_project(root), features)
    return {name: application.open_requirements.get(name, ()) for name in features}


def _check_tests(root: Path, request: Request) -> None:
    tests = project.content(root / project.test_path(request.feature)) or b""
    if untested := sorted(set(request.requirements) - _tested(request, tests)):
        raise BuildError(*(f"{request.feature} has no test for: {lost}" for lost in untested))


def _built(root: Path) -> list[str]:
    return [name for name in project.features(root) if project.record(root, name)]


def _record(root: Path, feature: str) -> BuildRecord:
    """The record of a feature. Raises `BuildError` if there is none."""
    project.check_root(root)
    if record := project.record(root, feature):
        return record
    built = _built(root)
    hint = nearest(feature[:64], built) if built else ""
    raise BuildError(f"no feature of that name was built here{hint}")


def remove(root: Path, feature: str, force: bool = False) -> dict[PurePosixPath, bool]:
    """Deletes a feature; returns its files, and of each whether it was edited.

    Raises `BuildError` if the feature was not built here; or if a file was edited, unless `force`.
    """
    _record(root, feature)
    with workspace.locked(root, feature):
        edited = project.edited(root, feature)
        files = sorted(project.files(root, feature) | {project.test_path(feature)})
        deleted = {path: path in edited for path in files if os.path.lexists(root / path)}
        if any(deleted.values()) and not force:
            refused = (f"{path} is edited" for path in deleted if deleted[path])
            raise BuildError(*refused, "--force deletes it all the same")
        workspace.move_out(root, feature)
        return deleted


def inventory(root: Path) -> tuple[FeatureSummary, ...]:
    """All features of the project. Raises `BuildError` if the application cannot be made."""
    project.check_root(root)
    application = proof.application(root)
    return tuple(
        FeatureSummary(
            name,
            tuple(route for route, feature in application.routes if feature == name),
            len(application.open_requirements.get(name, ())),
            tuple(map(str, project.edited(root, name))),
        )
        for name in project.features(root)
    )
