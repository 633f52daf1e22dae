"""The status page as HTML, under a policy that allows nothing but its own style and script."""

import base64
import hashlib
from collections.abc import Iterable
from functools import partial
from importlib.resources import files
from typing import Any

from flask import render_template
from markupsafe import Markup

from petsage.checks import Result, Status
from petsage.health.history import RESULTS, Change
from petsage.management.documents import moment

FLAP_SECONDS = 600

_STEP, _WIDTH, _HALF = 4, 3, 12  # of the bars, in pixels
_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def _template(name: str) -> str:
    return (files("petsage.management") / "templates" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_STYLE, _SCRIPT = _template("status.css"), _template("status.js")

SECURITY_POLICY = (
    f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)};"
    " connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: exactly its own style and script, and no other host."""


def render(page: dict[str, Any], whole: bool = False) -> str:
    """The page; with `whole` its lists are open. It needs an application context."""
    return render_template(
        "status.html",
        page=page,
        time=partial(moment, page["offset"]),
        changes=grouped(page["changes"]),
        flap_seconds=FLAP_SECONDS,
        open=whole,
        style=Markup(_STYLE),  # noqa: S704
        script=Markup(_SCRIPT),  # noqa: S704
        bars=bars,
        counts=counts,
        span=span,
    )


def grouped(changes: Iterable[Change]) -> list[tuple[Change, int]]:
    """Changes, the newest first, each with the number of changes that its row stands for.

    A check that flaps is one row: one that changes four times or more within `FLAP_SECONDS`.
    """
    groups: list[list[Change]] = []
    latest: dict[str, list[Change]] = {}
    for change in changes:
        group = latest.get(change.name)
        if not group or group[0].result.at - change.result.at > FLAP_SECONDS:
            group = latest[change.name] = []
            groups.append(group)
        group.append(change)
    rows: list[tuple[Change, int]] = []
    for group in groups:
        rows += [(group[0], len(group))] if len(group) > 3 else [(change, 1) for change in group]
    return sorted(rows, key=lambda row: row[0].result.at, reverse=True)


def bars(results: tuple[Result, ...]) -> dict[Status, str]:
    """An SVG path for each status that occurs: a bar for each result, the newest at the right.

    The bar of a pass stands on the line, and is higher the longer the run took, compared with the
    others; any other bar hangs below the line.
    """
    slowest = max((r.duration_seconds for r in results), default=0.0) or 1.0
    paths: dict[Status, list[str]] = {}
    for x, result in enumerate(results, RESULTS - len(results)):
        height = _height(result.status, result.duration_seconds / slowest)
        path = f"M{x * _STEP} {_HALF}h{_WIDTH}v{height}h-{_WIDTH}z"
        paths.setdefault(result.status, []).append(path)
    return {status: "".join(path) for status, path in paths.items()}


def _height(status: Status, share: float) -> int:
    if status is Status.PASS:
        return -max(2, round(_HALF * share))
    return _HALF if status is Status.FAIL else _HALF // 2


def counts(results: tuple[Result, ...]) -> str:
    """The bars in words: how many of the results have each status."""
    statuses = [result.status for result in results]
    numbers = (f"{statuses.count(s)} {s.value}" for s in Status if s in statuses)
    return f"Last {len(results)} results: {', '.join(numbers)}"


def span(seconds: float) -> str:
    """A duration as people say it: `0.4 ms`, `2.5 s`, `3 min 20 s`, `2 d 4 h`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for size, unit, small_size, small_unit in _UNITS:
        if round(seconds) >= size:
            large, rest = divmod(round(seconds), size)
            return f"{large} {unit} {rest // small_size} {small_unit}"
    return f"{seconds:.0f} s"
