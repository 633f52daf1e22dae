"""Renders a request into every file of the feature, in memory."""

import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlencode

import jinja2

from petsage.builder import BuildError, project, types
from petsage.builder.request import Request, check_length

# Characters that Markdown would read as markup: anywhere, or at the start of a line.
_MARKUP = re.compile(r"[\\`*\[\]<>#|~&]|\b_|_\b|^([-+=]|\d+[.)](?=\s))")


@dataclass(frozen=True, slots=True)
class FeatureFiles:
    """A feature's files in memory."""

    request: Request
    contents: project.Contents

    @property
    def route(self) -> str:
        """Method and URL: `POST /api/v1/pet-birthday`."""
        return f"{self.request.method} {url(self.request.feature)}"

    @property
    def tests(self) -> int:
        """The number of tests, without those of requirements."""
        defined = self.contents[project.test_path(self.request.feature)].count(b"\ndef test_")
        return defined - len(self.request.requirements)


def url(feature: str) -> str:
    """The URL of a feature: `/api/v1/the-name` for `the_name`."""
    return f"/api/v1/{feature.replace('_', '-')}"


def noun(feature: str) -> str:
    """The class of a feature's answer, and the name of its schema: `TheName` for `the_name`."""
    return _title(feature).replace(" ", "")


def _title(feature: str) -> str:
    return " ".join(word.capitalize() for word in feature.split("_"))


def tree(files: Iterable[PurePosixPath]) -> str:
    """The paths as a tree, a line for each folder and file."""
    return "\n".join([".", *_branches(sorted(path.parts for path in files))])


def _branches(paths: Sequence[tuple[str, ...]], indent: str = "") -> Iterator[str]:
    last = paths[-1][0]
    for name, group in groupby(paths, itemgetter(0)):
        below = [parts[1:] for parts in group if parts[1:]]
        yield f"{indent}{'└──' if name == last else '├──'} {name}"
        if below:
            yield from _branches(below, f"{indent}{'   ' if name == last else '│  '} ")


def render(request: Request, root: Path, kept: Collection[str] = ()) -> FeatureFiles:
    """Renders a request, formatted by the rules of the project at `root`.

    The requirements in `kept` are not open any more. Raises `BuildError` if the formatter fails.
    """
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("petsage.builder"),
        autoescape=False,  # noqa: S701
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    dumps = partial(json.dumps, ensure_ascii=False)
    templates.filters.update(literal=repr, docstring=_docstring, markdown=_markdown, json=dumps)
    context, contents = _context(request) | {"kept": kept}, {}
    for path in project.built_files(request.feature):
        name = "test.py" if path.parent == project.TESTS else path.name
        contents[path] = templates.get_template(f"{name}.jinja").render(context).encode()
    contents = _formatted(contents, root)
    contents[project.folder(request.feature) / project.RECORD] = _record(request, contents)
    return FeatureFiles(request, contents)


def _formatted(contents: project.Contents, root: Path) -> dict[PurePosixPath, bytes]:
    with TemporaryDirectory() as folder:
        project.write(Path(folder), contents)
        command = [sys.executable, "-m", "ruff", "format", "--no-cache", "--config"]
        ruff = [*command, str(root.resolve() / "pyproject.toml"), folder]
        done = subprocess.run(ruff, capture_output=True, check=False)  # noqa: S603
        if done.returncode:
            raise BuildError(f"the formatter refuses: {done.stderr.decode().strip()}")
        return {path: Path(folder, path).read_bytes() for path in contents}


def _record(request: Request, contents: project.Contents) -> bytes:
    texts = {str(path): content.decode() for path, content in contents.items()}
    record = json.dumps(request.to_json() | {"files": texts}, indent=2, ensure_ascii=False)
    check_length(record.encode())  # it is a request too
    return f"{record}\n".encode()


def _context(request: Request) -> dict[str, Any]:
    """The variables of the templates. They hold the request's text as it is: the templates escape
    it where they use it."""
    fields = {name: types.parse(asked) for name, asked in request.fields}
    example = {name: of.example for name, of in fields.items()}
    return {
        "request": request,
        "name": request.feature,
        "noun": noun(request.feature),
        "title": _title(request.feature),
        "url": url(request.feature).removeprefix("/api/v1"),
        "requirement_tests": test_names(request.requirements),
        "query": bool(request.fields) and request.method == "GET",
        "fields": fields,
        "kinds": {kind for of in fields.values() for kind in of.kinds},
        "example": example,
        "search": urlencode(example, doseq=True, quote_via=quote),
    }


def test_names(requirements: Iterable[str]) -> dict[str, str]:
    """The names of the requirements' tests, each with its requirement."""
    named: dict[str, str] = {}
    for requirement in requirements:
        words = re.findall("[a-z0-9]+", requirement.lower().replace("'", ""))
        name = "_".join(["test_it_must", *words])[:60].rstrip("_")
        while name in named:
            name = f"{name}_{len(named) + 1}"
        named[name] = requirement
    return named


def _markdown(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", text)


def _docstring(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
