"""Text from elsewhere as bounded text in one line: no terminal, log or pipeline acts on it.

It is escaped as Python writes it (`\\n`, `\\x1b`, `\\u202e`, `\\ud800`). `str.isprintable` decides:
it refuses control characters, line ends, surrogates, and what turns the direction of writing.
"""

from collections.abc import Callable

LIMIT = 200
"""How many characters of a text are kept by default."""


def escaped(text: str, keeps: Callable[[str], bool] = str.isprintable) -> str:
    """The whole text in one line, each character that `keeps` refuses as its escape."""
    if keeps(text):
        return text
    return "".join(c if keeps(c) else ascii(c)[1:-1] for c in text)


def one_line(text: object, limit: int = LIMIT) -> str:
    """At most `limit` characters of a text; white space of any kind and length is one space."""
    text = str(text)
    words = " ".join(text[: 5 * limit].split())  # not all of it: it may have megabytes
    return _cut(escaped(words), limit, "…", len(text) > 5 * limit)


def ascii_line(text: object, limit: int = LIMIT) -> str:
    """At most `limit` characters in ASCII, for pipelines. `##` is escaped, since some pipelines act
    on `##[…]` and `##vso[…]` in the middle of a line."""
    text = str(text)
    line = escaped(text[: limit + 1], lambda part: part.isascii() and part.isprintable())
    return _cut(line, limit, "...", len(text) > limit).replace("##", "#\\x23")


def counted(number: int, noun: str) -> str:
    """A number and its noun: `1 round`, `2 rounds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _cut(line: str, limit: int, end: str, more: bool) -> str:
    return line[: limit - len(end)] + end if more or len(line) > limit else line
