"""Adds a feature to the project, and removes one."""

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from petsage.builder import BuildError, plan, project, proof, tree
from petsage.builder.plan import Plan
from petsage.builder.request import Request
from petsage.builder.tree import Disk
from petsage.errors import nearest

Prove = Callable[[Path, Plan, Callable[[], None]], None]
Show = Callable[[Plan], None]


def draft(root: Path, request: Request, show: Show = lambda _: None) -> Plan | None:
    """The plan of a request, once it is shown; None if the feature stands as requested already.

    Raises `BuildError` if it cannot be built here.
    """
    project.check_root(root)
    feature = request.feature
    noted = project.built(root, feature)
    if noted and noted.request == request.to_json():
        return None
    if noted:
        raise BuildError(
            f"{feature} is there already, from another request; to build it anew, first "
            f"`petsage feature remove {feature}`"
        )
    for path in (plan.folder(feature), plan.test_path(feature)):
        if os.path.lexists(root / path):
            raise BuildError(
                f"{path} is there already, but not from a build that came to its end; delete "
                f"{plan.folder(feature)} and {plan.test_path(feature)}, or take another name"
            )
    proof.check_tools()
    _refuse_taken(root, feature)
    planned = plan.make(request, root)
    show(planned)
    return planned


def _refuse_taken(root: Path, feature: str) -> None:
    application, noun = project.application(root), plan.noun(feature)
    for route in application.routes:
        if route.url == plan.url(feature):
            raise BuildError(f"{route} is answered already; another name would be right")
    if noun in application.openapi["components"]["schemas"]:
        raise BuildError(f"there is a schema {noun} already; another name would be right")


def add(
    root: Path,
    request: Request,
    prove: Prove = proof.prove,
    disk: Disk | None = None,
    show: Show = lambda _: None,
) -> Plan | None:
    """Builds a feature and proves it; returns its plan, or None if it stands as requested already.

    Raises `BuildError`, and `KeyboardInterrupt` on SIGINT, SIGTERM or SIGHUP: the tree is then as
    it was, byte for byte.
    """
    project.check_root(root)
    with tree.alone(root):
        planned = draft(root, request, show)
        if planned:
            with tree.obedient() as obey, tree.added(root, planned, disk or Disk()):
                obey()
                prove(root, planned, obey)
                obey()
        return planned


def remove(
    root: Path, feature: str, disk: Disk | None = None
) -> tuple[tuple[PurePosixPath, ...], tuple[PurePosixPath, ...]]:
    """Deletes what is as it was built of a feature, and returns that and what is kept: the edited.

    Raises `BuildError` if the builder did not build it, or if it cannot be deleted.
    """
    project.check_root(root)
    with tree.alone(root):
        noted = project.built(root, feature)
        if noted is None:
            built = [name for name in project.features(root) if project.built(root, name)]
            hint = nearest(feature[:64], built) if built else ""
            raise BuildError(f"no feature of that name was built here{hint}")
        kept = tuple(path for path in project.edited(root, feature) if (root / path).exists())
        note = plan.folder(feature) / plan.REQUEST_FILE
        gone = (*project.unchanged(root, feature, noted), note)
        with tree.obedient():
            tree.remove(root, feature, gone, disk or Disk())
        return gone, kept
