"""`petsage feature`. What builds is imported when it is asked for, so that the help is fast."""

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from petsage.builder import BuildError

if TYPE_CHECKING:
    from petsage.builder.request import Request

as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")

_REQUEST = (
    click.argument("name", required=False),
    click.option("--description", metavar="TEXT", help="What the feature is for."),
    click.option(
        "--requirement",
        "requirements",
        metavar="TEXT",
        multiple=True,
        help="What the feature must do. Repeatable.",
    ),
    click.option(
        "--field",
        "fields",
        metavar="NAME:TYPE",
        multiple=True,
        help="A value that it takes. Types: string, integer, float, boolean, date, datetime, "
        "decimal, uuid, email, url, enum:a:b, list:TYPE. A ! at the end makes it required. "
        "Repeatable.",
    ),
    click.option(
        "--request",
        "source",
        type=click.File("rb"),
        help="Read all of it from this JSON file; - is standard input.",
    ),
    click.option("--dry-run", is_flag=True, help="Print the files' names, and write nothing."),
)


def _takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that make a request, and calls it with that request."""

    @functools.wraps(command)
    def with_request(
        name: str | None,
        description: str | None,
        requirements: tuple[str, ...],
        fields: tuple[str, ...],
        source: BinaryIO | None,
        **options: bool,
    ) -> None:
        from petsage.builder.request import MAX_BYTES, from_json, from_options

        if bool(source) is bool(name or description or requirements or fields):
            raise click.UsageError("Give either NAME with its options, or --request FILE alone.")
        if source:
            command(from_json(source.read(MAX_BYTES + 1)), **options)
        else:
            command(from_options(name or "", description, requirements, fields), **options)

    for option in reversed(_REQUEST):
        with_request = option(with_request)
    return with_request


@click.group("feature")
def command() -> None:
    """Build features into the project.

    The working directory must be the project's root. Exit codes: 0 done, 1 refused or red.

    \b
    Example:
      petsage feature add pet_birthday --description "Reminds owners" --field 'born:date!'
      petsage feature list
      petsage feature remove pet_birthday
    """


@command.command()
@_takes_request
@as_json
def add(request: "Request", dry_run: bool, as_json: bool) -> None:
    """Build a feature and prove it.

    Its code is written, linted, type-checked and tested in a copy of the project. If all of it is
    green, the feature is moved into the project; if not, the project stays as it was.

    \b
    Example:
      petsage feature add vet_visit --description "Books a visit" --field 'day:date!'
    """
    from petsage.builder import build, render

    files = (build.draft if dry_run else build.add)(_root(), request)
    if files is None:
        unchanged = {"feature": request.feature, "status": "unchanged"}
        _print(as_json, unchanged, [f"Nothing to do: {request.feature} is there as requested"])
        return
    document = {
        "feature": request.feature,
        "status": "planned" if dry_run else "built",
        "route": files.route,
        "files": sorted(map(str, files.contents)),
    }
    end = f"Nothing written: {files.route} is planned" if dry_run else "Build complete"
    _print(as_json, document, [render.tree(files.contents), "", end])


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
    click.echo(json.dumps(document) if as_json else "\n".join(lines))
