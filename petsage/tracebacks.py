"""Where an exception was raised, in one line without its message: that may hold a secret."""

import re
import traceback

from petsage.printable import one_line

MAX_FRAMES = 30
"""How many frames of an exception are logged."""


def whereabouts(error: BaseException, package: str = "") -> str:
    """The class of an exception, and the module and line that raised it.

    With `package`, the name of a top-level package, it is the innermost line in that package, if
    the exception went through it.
    """
    places = [place for place, _ in _places(error)]
    own = [place for place in places if re.split("[.:]", place, maxsplit=1)[0] == package]
    where = [f" ({place})" for place in (own or places)[-1:]]
    return one_line("".join([type(error).__name__, *where]))


def frames(error: BaseException) -> str:
    """Where an exception was raised, the innermost frame first, in one line without its message."""
    places = (" ".join(place) for place in reversed(_places(error)[-MAX_FRAMES:]))
    return one_line(" < ".join(places), 4000)


def _places(error: BaseException) -> list[tuple[str, str]]:
    """The frames of an exception, the innermost last: the module with the line, the function."""
    lines = traceback.walk_tb(error.__traceback__)
    return [(f"{f.f_globals.get('__name__')}:{line}", f.f_code.co_name) for f, line in lines]
