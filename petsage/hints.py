"""What an error says would be right."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the known word most like `word`, to stand behind "unknown"; or all of them."""
    known = tuple(known)
    if match := difflib.get_close_matches(word, known, n=1):
        return f"; did you mean {match[0]}?"
    return f"; known are {', '.join(known)}"
