"""The command `petsage feature`."""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from petsage.builder import BuildError, build, render, types
from petsage.builder.render import FeatureFiles
from petsage.builder.request import MAX_BYTES, Request, from_json, from_options
from petsage.features import count_open
from petsage.printable import one_line

REQUIREMENTS_OPEN = 3
"""The exit code of `verify` when requirements are open."""

_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document.")

_FORCE = click.Option(["--force"], is_flag=True, help="Delete edited files too.")
_FIELD = f"A field: {', '.join(types.NAMES)}; a ! at the end makes it required. Repeatable."
_REQUEST: list[click.Parameter] = [
    click.Argument(["name"], required=False),
    click.Option(["--description"], help="What the feature is for."),
    click.Option(["--requirement"], multiple=True, help="What the feature must do. Repeatable."),
    click.Option(["--field"], multiple=True, metavar="NAME:TYPE", help=_FIELD),
    click.Option(
        ["--method"],
        type=click.Choice(["GET", "POST"]),
        help="GET takes the fields in the URL's query. Default: POST if there are fields.",
    ),
    click.Option(
        ["--request"],
        metavar="FILE",
        help="Read the whole request from this JSON file, or from standard input (-).",
    ),
    click.Option(["--dry-run"], is_flag=True, help="Print the files' names, and write nothing."),
    _JSON,
]


class _FeatureCommands(click.Group):
    """Turns what the system refuses into one line: a read-only folder, a full disk."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except OSError as error:
            where = error.filename2 or error.filename or "the project"
            raise BuildError(f"{one_line(where)}: {error.strerror}") from error


@click.group("feature", cls=_FeatureCommands)
def command() -> None:
    """Build features into the project.

    Features are part of the PetSage project, whose root must be the working directory. They cannot
    be added to an application of your own, which `petsage serve` serves as it is. Exit codes: 0
    done, 1 refused or red, 3 requirements are open (verify).

    \b
    Example:
      petsage feature add pet_birthday --description "Reminds owners" --field 'born:date!'
      petsage feature list
      petsage feature remove pet_birthday
    """


@command.command(params=_REQUEST)
def add(**options: Any) -> None:
    """Build a feature and prove it.

    Its code is written, linted, type-checked and tested in a copy of the project. If all is green,
    the feature is moved into the project; if not, the project stays as it was. In a request as JSON
    a field can have a description, bounds, a default and examples too.

    \b
    Example:
      petsage feature add vet_visit --description "Books a visit" --field 'day:date!'
    """
    _change(build.draft, "built", **options)


@command.command(params=_REQUEST)
def update(**options: Any) -> None:
    """Change a feature to a changed request.

    Give the whole request, as to add. Your own edits stay: they are merged with what the request
    changes, and the result is proven. If both change the same lines, these are printed, and nothing
    is written.

    \b
    Example:
      petsage feature update vet_visit --description "Books a visit" --field 'day:datetime!'
    """
    _change(build.draft_update, "updated", **options)


def _change(
    draft: build.Draft, done: str, request: str | None, dry_run: bool, as_json: bool, **options: Any
) -> None:
    if bool(request) is any(options.values()):
        raise click.UsageError("Give either NAME with its options, or --request FILE alone.")
    loaded = from_json(_read(request)) if request else from_options(**options)
    files = draft(Path(), loaded) if dry_run else build.change(Path(), loaded, draft)
    status = "unchanged" if files is None else "planned" if dry_run else done
    _print(as_json, *_described(loaded, files, status))


def _read(source: str) -> bytes:
    if source == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    # Opened so, a FIFO that nobody writes to is empty instead of blocking.
    with open(source, "rb", opener=lambda path, flag: os.open(path, flag | os.O_NONBLOCK)) as file:
        os.set_blocking(file.fileno(), True)
        return file.read(MAX_BYTES + 1)


def _described(
    request: Request, files: FeatureFiles | None, status: str
) -> tuple[dict[str, Any], list[str]]:
    document = {"feature": request.feature, "status": status}
    if files is None:
        return document, [f"Nothing to do: {request.feature} is there as requested"]
    paths = {"route": files.route, "files": sorted(map(str, files.contents))}
    open_ = f"; {count_open(request.requirements)}" if request.requirements else ""
    end = f"Nothing written: {files.route} is planned" if status == "planned" else "Build complete"
    return document | paths, [render.tree(files.contents), "", f"{end}{open_}"]


@command.command(params=[click.Argument(["name"], required=False), _JSON])
def verify(name: str | None, as_json: bool) -> None:
    """Prove a feature as it is, or all of them.

    Runs the linter, the type checker and the tests in a copy of the project. Exits with 0 if all
    requirements are kept, with 1 if anything is red, with 3 if requirements are open.

    \b
    Example:
      petsage feature verify vet_visit
    """
    verified = build.verify(Path(), name)
    lines = [
        f"{feature}: {count_open(open_)}: {'; '.join(open_)}" if open_ else f"{feature}: all kept"
        for feature, open_ in verified.items()
    ]
    document = [{"feature": one, "open_requirements": [*open_]} for one, open_ in verified.items()]
    _print(as_json, document, lines or ["No features"])
    if any(verified.values()):
        raise click.exceptions.Exit(REQUIREMENTS_OPEN)


@command.command("list", params=[_JSON])
def list_features(as_json: bool) -> None:
    """List the features.

    Prints each feature with its routes, the number of its open requirements, and its edited files.

    \b
    Example:
      petsage feature list --json
    """
    features = build.inventory(Path())
    lines = [*map(str, features)] or ["No features"]
    _print(as_json, [*map(asdict, features)], lines)


@command.command(params=[click.Argument(["name"]), _FORCE, _JSON])
def remove(name: str, force: bool, as_json: bool) -> None:
    """Delete a feature.

    If one of its files was edited, nothing is deleted, unless --force is given.

    \b
    Example:
      petsage feature remove vet_visit
    """
    deleted = build.remove(Path(), name, force)
    edited = [str(path) for path in deleted if deleted[path]]
    lines = [f"deleted {path}{', edited' if deleted[path] else ''}" for path in deleted]
    _print(as_json, {"feature": name, "deleted": [*map(str, deleted)], "edited": edited}, lines)


_ASCII_TREE = str.maketrans("├└│─", "|`|-")


def _print(as_json: bool, document: object, lines: Iterable[str]) -> None:
    """Prints the document or the lines; in ASCII if standard output takes nothing else."""
    text = json.dumps(document) if as_json else "\n".join(lines)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = text.translate(_ASCII_TREE).encode("ascii", "backslashreplace").decode()
    click.echo(text)
