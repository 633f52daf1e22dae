"""What a URL scheme is: the form of its URLs, its options, and how its dependencies are asked."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from marshmallow import ValidationError, fields

GROUP = "petsage.dependencies"
"""The entry-point group of other packages' schemes: an entry's name is the scheme, its object a
`Scheme`. PetSage's own schemes cannot be replaced."""

Run = Callable[[], object]
"""Asks a dependency once, and raises if it is unwell."""

# The pieces of a scheme's pattern. Only one @ is allowed, the one before the host: any other
# belongs to a password with a #, ? or / that is not encoded, and the URL is refused for that.
AUTH = r"(?:(?P<user>[^:/?@]*)(?::(?P<password>[^/?@]*))?@)?"
HOST = r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
PORT = r"(?::(?P<port>[0-9]{1,5}))?"
PATH = r"(?P<path>/[^?@]*)?"
QUERY = r"(?:\?(?P<query>[^@]*))?"
PATTERN = AUTH + HOST + PORT + PATH + QUERY


class Option(fields.Field[Any]):
    """An option of a URL: `parse` reads its text, or raises a `ValueError` or `LookupError`.

    The message says what would be right (`must be {must}`), and never repeats the text.
    """

    def __init__(self, parse: Callable[[str], Any], must: str, default: Any = None) -> None:
        super().__init__(load_default=default)
        self._parse = parse
        self._must = must

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return self._parse(value)
        except (ValueError, LookupError):
            raise ValidationError(f"must be {self._must}") from None


@dataclass(frozen=True, slots=True)
class Location:
    """Where a declared URL points. Its `repr` shows nothing of the URL but the scheme."""

    scheme: str
    host: str = field(repr=False)
    """Without the brackets of an IPv6 address; empty if the scheme has none."""
    port: int = field(repr=False)
    """The scheme's default if the URL has none; 0 if the scheme has none either."""
    user: str = field(repr=False)
    """Decoded, as is the password; empty if the URL has none."""
    password: str = field(repr=False)
    path: str = field(repr=False)
    """As it stands in the URL, percent-encoded, with its first slash."""
    query: str = field(repr=False)
    """As it stands in the URL, without the question mark."""
    timeout_seconds: float
    """How long a run may take, connecting included."""
    options: Mapping[str, Any] = field(repr=False)
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
    """A regular expression with these groups for the text between `://` and the fragment."""

    port: int = 0
    """The default port."""

    options: Mapping[str, fields.Field[Any]] = field(default_factory=dict)
    """The options that only this scheme has: a marshmallow field loads the value of each."""

    modules: tuple[str, ...] = ()
    """The modules that it needs: if one is missing, the start is refused."""

    install: str = ""
    """What `pip install` needs as argument to install them."""

    def missing(self) -> str:
        """A message with the command that installs the missing driver, or an empty string.

        It imports the driver, before any fork and any deadline: no first run waits for that.
        """
        try:
            for module in self.modules:
                import_module(module)
        except ImportError:
            return f"its driver is not installed: pip install '{self.install}'"
        return ""


def provided() -> tuple[str, ...]:
    """The names of the schemes that other packages provide."""
    return tuple(sorted(entry_points(group=GROUP).names))


def load(name: str) -> Scheme:
    """The scheme of another package. Raises `ValidationError` if it cannot be loaded."""
    (entry, *_) = entry_points(group=GROUP, name=name)
    try:
        scheme = entry.load()
    except Exception as error:
        raise ValidationError(
            f"the package of scheme {name} cannot be imported ({type(error).__name__})"
        ) from None
    if not isinstance(scheme, Scheme):
        raise ValidationError(f"the package of scheme {name} does not provide a petsage Scheme")
    return scheme
