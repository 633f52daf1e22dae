"""`petsage feature`. What builds is imported when it is asked for: `petsage serve` pays nothing."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click

from petsage.builder import BuildError

as_json = click.option("--json", "as_json", is_flag=True, help="For machines.")


@click.group("feature")
def command() -> None:
    """Build the features of the project whose root is the working directory.

    Exit codes: 0 done, 1 refused or red.
    """


@command.command()
@click.argument("name", required=False)
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--requirement", "requirements", metavar="TEXT", multiple=True, help="Repeatable.")
@click.option(
    "--field",
    "fields",
    metavar="NAME:TYPE",
    multiple=True,
    help="Repeatable. string, integer, float, boolean, date, datetime, decimal, uuid, email, url, "
    "enum:a:b or list:TYPE; with ! behind it is required.",
)
@click.option("--request", "source", metavar="FILE", help="All of it as JSON; - is standard input.")
@click.option("--dry-run", is_flag=True, help="Only show what would be written.")
@as_json
def add(
    name: str | None,
    description: str | None,
    requirements: tuple[str, ...],
    fields: tuple[str, ...],
    source: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build the feature NAME, and keep it if it is proven."""
    from petsage.builder import build, plan
    from petsage.builder.request import from_json, from_options

    if (name is None) is (source is None) or (source and (description or requirements or fields)):
        raise click.UsageError("Give either NAME with its options, or --request FILE alone.")
    if source is None:
        request = from_options(name or "", description, requirements, fields)
    else:
        request = from_json(_read(source))

    def show(planned: plan.Plan) -> None:
        click.echo(plan.tree(planned.files) + "\n", err=as_json)

    planned = (build.draft if dry_run else build.add)(_root(), request, show=show)
    if planned is None:
        same = {"feature": request.feature, "status": "unchanged"}
        _tell(as_json, same, [f"Nothing to do: {request.feature} is there as requested"])
        return
    told = {
        "feature": request.feature,
        "status": "planned" if dry_run else "built",
        "route": planned.route,
        "files": sorted(map(str, planned.files)),
    }
    end = f"Nothing written: {planned.route} is planned" if dry_run else "Build complete"
    _tell(as_json, told, [end])


@command.command("list")
@as_json
def list_features(as_json: bool) -> None:
    """Tell which features there are: routes, open requirements, edited files."""
    from petsage.builder import project

    project.check_root(_root())
    features = project.inventory(_root())
    _tell(as_json, [asdict(one) for one in features], [*map(str, features)] or ["No features"])


@command.command()
@click.argument("name")
@as_json
def remove(name: str, as_json: bool) -> None:
    """Delete the files of the feature NAME that nobody has edited."""
    from petsage.builder import build, plan

    gone, kept = (list(map(str, paths)) for paths in build.remove(_root(), name))
    lines = [*(f"deleted {path}" for path in gone), *(f"kept {path}: edited" for path in kept)]
    _tell(as_json, {"feature": name, "deleted": gone, "kept": kept}, lines)
    folder = plan.folder(name)
    if str(folder / "__init__.py") in kept:
        click.echo(f"petsage: the application does not start until you delete {folder}", err=True)


def _root() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise BuildError("the working directory is gone") from None


def _read(source: str) -> bytes:
    from petsage.builder.request import MAX_BYTES

    try:
        with sys.stdin.buffer if source == "-" else Path(source).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BuildError(f"the request cannot be read: {error.strerror}") from None


def _tell(as_json: bool, told: object, lines: Iterable[str]) -> None:
    click.echo(json.dumps(told) if as_json else "\n".join(lines))
