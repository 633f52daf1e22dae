"""`petsage feature`. What builds is imported when it is asked for, so that the help is fast."""

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from petsage.builder import BuildError

if TYPE_CHECKING:
    from petsage.builder.render import FeatureFiles
    from petsage.builder.request import Request

OPEN = 3
"""The exit code of `verify` when requirements are open."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")

_TYPES = "string, integer, float, boolean, date, datetime, decimal, uuid, email, url, enum:a:b"
_DOCUMENT = "in which a field can have a description, bounds, a default and examples"
_REQUEST = (
    click.argument("name", required=False),
    click.option("--description", help="What the feature is for."),
    click.option("--requirement", multiple=True, help="What the feature must do. Repeatable."),
    click.option(
        "--field",
        multiple=True,
        metavar="NAME:TYPE",
        help=f"A value that it takes: {_TYPES}, list:TYPE; with ! at the end required. Repeatable.",
    ),
    click.option(
        "--method",
        type=click.Choice(["GET", "POST"]),
        help="GET takes the fields in the URL's query. Default: POST if there are fields.",
    ),
    click.option("--request", metavar="FILE", help=f"All of it as JSON, {_DOCUMENT}; or -."),
    click.option("--dry-run", is_flag=True, help="Print the files' names, and write nothing."),
    as_json,
)


def _takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that make a request, and calls it with that request."""

    @functools.wraps(command)
    def with_request(request: str | None, dry_run: bool, as_json: bool, **asked: Any) -> None:
        from petsage.builder.request import from_json, from_options

        if bool(request) is any(asked.values()):
            raise click.UsageError("Give either NAME with its options, or --request FILE alone.")
        loaded = from_json(_read(request)) if request else from_options(**asked)
        command(loaded, dry_run, as_json)

    for option in reversed(_REQUEST):
        with_request = option(with_request)
    return with_request


def _read(source: str) -> bytes:
    from petsage.builder.request import MAX_BYTES

    try:
        if source == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        # A FIFO that nobody writes to is empty, instead of blocking.
        with os.fdopen(os.open(source, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            os.set_blocking(file.fileno(), True)
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BuildError(f"the request cannot be read: {error.strerror}") from None


_ASCII_TREE = str.maketrans("├└│─", "|`|-")


@click.group("feature")
def command() -> None:
    """Build features into the project.

    The working directory must be the project's root. A feature is part of this project: for an
    application of your own there is `petsage serve`. Exit codes: 0 done, 1 refused or red,
    3 requirements are open (verify).

    \b
    Example:
      petsage feature add pet_birthday --description "Reminds owners" --field 'born:date!'
      petsage feature list
      petsage feature remove pet_birthday
    """


@command.command()
@_takes_request
def add(request: "Request", dry_run: bool, as_json: bool) -> None:
    """Build a feature and prove it.

    Its code is written, linted, type-checked and tested in a copy of the project. If all of it is
    green, the feature is moved into the project; if not, the project stays as it was.

    \b
    Example:
      petsage feature add vet_visit --description "Books a visit" --field 'day:date!'
    """
    from petsage.builder import build

    files = (build.draft if dry_run else build.add)(_root(), request)
    _print_files(request, files, "planned" if dry_run else "built", as_json)


@command.command()
@_takes_request
def update(request: "Request", dry_run: bool, as_json: bool) -> None:
    """Change a feature to another request.

    Give the whole request, as to add. What is edited stays: it is merged with what the request
    changes, and proven. If both change the same lines, they are printed, and nothing is written.

    \b
    Example:
      petsage feature update vet_visit --description "Books a visit" --field 'day:datetime!'
    """
    from petsage.builder import build

    files = (build.draft_update if dry_run else build.update)(_root(), request)
    _print_files(request, files, "planned" if dry_run else "updated", as_json)


def _print_files(
    request: "Request", files: "FeatureFiles | None", status: str, as_json: bool
) -> None:
    from petsage.builder import render
    from petsage.features import count_open

    if files is None:
        unchanged = {"feature": request.feature, "status": "unchanged"}
        lines = [f"Nothing to do: {request.feature} is there as requested"]
        return _print(as_json, unchanged, lines)
    paths = sorted(map(str, files.contents))
    document = {"feature": request.feature, "status": status, "route": files.route, "files": paths}
    open_ = f"; {count_open(request.requirements)}" if request.requirements else ""
    end = f"Nothing written: {files.route} is planned" if status == "planned" else "Build complete"
    return _print(as_json, document, [render.tree(files.contents), "", f"{end}{open_}"])


@command.command()
@click.argument("name", required=False)
@as_json
def verify(name: str | None, as_json: bool) -> None:
    """Prove a feature as it stands, or all of them.

    Runs the linter, the type checker and the tests in a copy of the project. Exits with 0 if all
    requirements are kept, with 1 if anything is red, with 3 if requirements are open.

    \b
    Example:
      petsage feature verify vet_visit
    """
    from petsage.builder import build
    from petsage.features import count_open

    verified = build.verify(_root(), name)
    lines = [
        f"{feature}: {count_open(open_)}: {'; '.join(open_)}" if open_ else f"{feature}: all kept"
        for feature, open_ in verified.items()
    ]
    document = [{"feature": one, "open_requirements": [*open_]} for one, open_ in verified.items()]
    _print(as_json, document, lines or ["No features"])
    if any(verified.values()):
        raise click.exceptions.Exit(OPEN)


@command.command("list")
@as_json
def list_features(as_json: bool) -> None:
    """List the features.

    Prints each feature with its routes, how many of its requirements are open, and which of its
    files are edited.

    \b
    Example:
      petsage feature list --json
    """
    from petsage.builder import build

    features = build.inventory(_root())
    _print(as_json, [asdict(one) for one in features], [*map(str, features)] or ["No features"])


@command.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Delete edited files too.")
@as_json
def remove(name: str, force: bool, as_json: bool) -> None:
    """Delete a feature.

    If a file of it is edited, nothing is deleted, unless --force is given.

    \b
    Example:
      petsage feature remove vet_visit
    """
    from petsage.builder import build

    deleted, edited = (list(map(str, paths)) for paths in build.remove(_root(), name, force))
    lines = [f"deleted {path}{', edited' if path in edited else ''}" for path in deleted]
    _print(as_json, {"feature": name, "deleted": deleted, "edited": edited}, lines)


def _root() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise BuildError("the working directory is gone") from None


def _print(as_json: bool, document: object, lines: Iterable[str]) -> None:
    text = json.dumps(document) if as_json else "\n".join(lines)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = text.translate(_ASCII_TREE).encode("ascii", "backslashreplace").decode()
    click.echo(text)
