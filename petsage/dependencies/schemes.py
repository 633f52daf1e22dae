"""What a URL scheme is: the form of its URLs, its options, and how it asks a dependency."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import unquote

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from petsage.errors import nearest

GROUP = "petsage.dependencies"
"""The entry-point group of other packages' schemes: an entry's name is the scheme, its object a
`Scheme`. PetSage's own schemes cannot be replaced."""

Run = Callable[[], object]
"""Asks a dependency once, and raises if it is unwell."""

# The pieces of a scheme's pattern. Only one @ is allowed, the one before the host. Any other
# belongs to a password with a #, ? or / that is not encoded: then the URL is refused.
AUTH = r"(?:(?P<user>[^:/?@]*)(?::(?P<password>[^/?@]*))?@)?"
HOST_NAME = r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?"
IPV6 = r"\[[0-9A-Fa-f:.]+\]"
HOST = rf"(?P<host>{HOST_NAME}|{IPV6})"
PORT = r"(?::(?P<port>[0-9]{1,5}))?"
PATH = r"(?P<path>/[^?@]*)?"
QUERY = r"(?:\?(?P<query>[^@]*))?"
PATTERN = AUTH + HOST + PORT + PATH + QUERY


def option(
    pattern: str, parse: Callable[[str], Any], must: str, default: Any = None
) -> fields.Field[Any]:
    """An option of a URL: a text of this pattern that `parse` reads without a `ValueError`.

    The message says what would be right (`must be {must}`), and never repeats the text.
    """

    def read_text(text: str) -> Any:
        with suppress(ValueError):
            if re.fullmatch(pattern, text):
                return parse(text)
        raise ValidationError(f"must be {must}")

    # A default that is callable would be called.
    return fields.Function(deserialize=read_text, load_default=lambda: default)


@dataclass(frozen=True, slots=True, repr=False)
class Location:
    """Where a declared URL points. Its `repr` shows no field, since some are secret."""

    scheme: str
    host: str
    """Without the brackets of an IPv6 address; empty if the scheme has none."""
    port: int
    """The scheme's default if the URL has none; 0 if the scheme has none either."""
    user: str
    """Decoded, as is the password; empty if the URL has none."""
    password: str
    path: str
    """As it stands in the URL, percent-encoded, with its first slash."""
    query: str
    """As it stands in the URL, without the question mark."""
    timeout_seconds: float
    """How long a run may take, connecting included."""
    options: Mapping[str, Any]
    """The values of the scheme's own options, defaults included."""

    def deadline(self) -> float:
        """When a run that begins now must be over, as a moment of `time.monotonic()`."""
        return time.monotonic() + self.timeout_seconds


@dataclass(frozen=True, slots=True)
class Scheme:
    """A scheme of declared URLs. Another package provides one by the entry-point group `GROUP`.

    With `nats = petsage_nats:scheme` in that group, `queue=nats://queue:4222` becomes a check.
    """

    form: str
    """What its URLs look like. An error message shows it when a URL does not."""

    make_run: Callable[[Location], Run]
    """Is called once, at start, and returns the run: a function that asks what is at this location.

    The run is called each time, in a thread of its own. It raises an `Exception` if what it asks is
    unwell; the message is reported, without the URL's secrets. It must end by
    `location.deadline()`, keep no connection, and import its driver only when it is called."""

    pattern: str = PATTERN
    """A regular expression for the text between `://` and the fragment. Its groups are some of the
    default's."""

    port: int = 0
    """The default port."""

    options: Mapping[str, fields.Field[Any]] = field(default_factory=dict)
    """The options that only this scheme has: a marshmallow field loads the value of each."""

    modules: tuple[str, ...] = ()
    """The modules that it needs: if one is missing, the start is refused."""

    install: str = ""
    """The argument with which `pip install` installs them."""

    def problems(self) -> list[str]:
        """A line with the command that installs the driver, if it is missing.

        It imports the driver before any fork and any deadline, so that no run waits for that.
        """
        try:
            for module in self.modules:
                import_module(module)
        except ImportError:
            return [f"its driver is not installed: pip install '{self.install}'"]
        return []

    def run_at(self, location: Location) -> Run:
        """The run that asks this location. Raises `ValidationError` if the scheme refuses it."""
        try:
            return self.make_run(location)
        except ValidationError:
            raise
        except Exception as error:  # of another package: its message may hold anything
            raise ValidationError(f"is refused by its scheme ({type(error).__name__})") from None


def read_pairs(
    text: str, known: Mapping[str, fields.Field[Any]], word: str, *problems: str
) -> dict[str, Any]:
    """The values of `name=value&…`, and the defaults of the names that are not in the text.

    `word` is what a message calls a name. Raises `ValidationError` with a line for each problem,
    after the `problems` that are known already.
    """
    lines = [*problems]
    given: dict[str, str] = {}
    for piece in filter(None, text.split("&")):
        name, _, value = piece.partition("=")
        if name not in known:
            lines.append(f"unknown {word}{nearest(name, known)}")
        elif name in given:
            lines.append(f"{name} is given twice")
        given[name] = unquote(value)
    try:
        values: dict[str, Any] = Schema.from_dict({**known})(unknown=EXCLUDE).load(given)
    except ValidationError as error:
        for name, messages in error.messages_dict.items():
            lines += [f"{name} {message}" for message in messages]
    if lines:
        raise ValidationError(lines)
    return values


def scheme_of(name: str, own: Mapping[str, Scheme]) -> Scheme:
    """The scheme of that name: one of `own`, or another package's.

    Raises `ValidationError` if there is none, or if it cannot be loaded.
    """
    if name in own:
        return own[name]
    others = entry_points(group=GROUP)
    if name not in others.names:
        raise ValidationError(f"unknown scheme{nearest(name, (*own, *sorted(others.names)))}")
    try:
        scheme = others[name].load()
    except Exception as error:
        problem = f"cannot be imported ({type(error).__name__})"
    else:
        if isinstance(scheme, Scheme):
            return scheme
        problem = "does not provide a petsage Scheme"
    raise ValidationError(f"the package of scheme {name} {problem}")
