"""The status page, as HTML under a policy that allows nothing but its own style and script."""

import base64
import functools
import hashlib
from importlib.resources import files

from flask import render_template
from markupsafe import Markup

from petsage.management.status import Overview, bars, counts, span


def render(page: Overview) -> str:
    """The page. Only within an application's context."""
    style, script, _ = _pieces()
    return render_template(
        "status.html", page=page, style=style, script=script, bars=bars, counts=counts, span=span
    )


def security_policy() -> str:
    """The page's Content-Security-Policy: nothing but its own style and script, no other host."""
    return _pieces()[2]


@functools.cache
def _pieces() -> tuple[Markup, Markup, str]:
    """The style, the script, and a policy that allows these two to the byte."""
    folder = files("petsage.management") / "templates"
    style, script = (
        (folder / name).read_text(encoding="utf-8") for name in ("status.css", "status.js")
    )
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)};"
        " connect-src 'self'; img-src data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Markup(style), Markup(script), policy  # noqa: S704


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
