"""Adds a feature to the project, and removes one."""

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from petsage.builder import BuildError, plan, project, proof, tree
from petsage.builder.plan import Plan
from petsage.builder.request import Request
from petsage.builder.tree import Disk
from petsage.hints import nearest

Prove = Callable[[Path, Plan, Callable[[], None]], None]


def draft(root: Path, request: Request) -> Plan | None:
    """The plan of a request; None if the feature stands as requested already.

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
            raise BuildError(f"{path} is there already; another name would be right")
    proof.check_tools()
    _refuse_taken(root, plan.url(feature))
    return plan.make(request, root)


def _refuse_taken(root: Path, url: str) -> None:
    for route in project.application(root).routes:
        if route.url == url:
            raise BuildError(f"{route} is answered already; another name would be right")


def add(
    root: Path, request: Request, prove: Prove = proof.prove, disk: Disk | None = None
) -> Plan | None:
    """Builds a feature and proves it; returns its plan, or None if it stands as requested already.

    Raises `BuildError`, and `KeyboardInterrupt` on SIGINT, SIGTERM or SIGHUP: the tree is then as
    it was, byte for byte.
    """
    project.check_root(root)
    with tree.alone(root):
        planned = draft(root, request)
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
            raise BuildError(_unknown(root, feature))
        kept = tuple(path for path in project.edited(root, feature) if (root / path).exists())
        note = plan.folder(feature) / plan.REQUEST_FILE
        gone = (*project.unchanged(root, feature, noted), note)
        with tree.obedient():
            tree.remove(root, feature, gone, disk or Disk())
        return gone, kept


def _unknown(root: Path, feature: str) -> str:
    built = [name for name in project.features(root) if project.built(root, name)]
    hint = nearest(feature[:64], built) if built else ""
    return f"no feature of that name was built here{hint}"
