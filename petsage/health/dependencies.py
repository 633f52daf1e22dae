"""Dependencies: a URL becomes a check."""

import difflib
from collections.abc import Iterable

from marshmallow import ValidationError

from petsage.health.checks import Check


def declared_checks(text: str) -> tuple[Check, ...]:
    """The checks that `PETSAGE_CHECKS` declares: whitespace-separated `name=URL`.

    Raises `marshmallow.ValidationError` with a line for each problem, none with a piece of a URL.
    """
    if text.split():
        raise ValidationError(["no scheme is known yet"])
    return ()


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the known word most like `word`, to stand behind "unknown"; or all of them."""
    known = tuple(known)
    if match := difflib.get_close_matches(word, known, n=1):
        return f"; did you mean {match[0]}?"
    return f"; known are {', '.join(known)}"
