"""What a URL scheme is: the form of its URLs, its options, and how its dependencies are asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from marshmallow import ValidationError, fields

GROUP = "petsage.dependencies"
"""The entry-point group of other packages' schemes: an entry's name is the scheme, its object a
`Scheme`. The schemes that PetSage brings cannot be replaced."""

Run = Callable[[], object]
"""Asks a dependency once; raises if it is unwell."""

# What the pattern of a scheme is made of. None lets an @ pass but the one before the host: any
# other belongs to a password that holds a stray #, ? or /, and is refused for that.
AUTH = r"(?:(?P<user>[^:/?@]*)(?::(?P<password>[^/?@]*))?@)?"
HOST = r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
PORT = r"(?::(?P<port>[0-9]{1,5}))?"
PATH = r"(?P<path>/[^?@]*)?"
QUERY = r"(?:\?(?P<query>[^@]*))?"


class Option(fields.Field[Any]):
    """An option's field: `parse` reads its text, or raises `ValueError`.

    The error says what would be right (`must be {must}`), and never repeats the text.
    """

    def __init__(self, parse: Callable[[str], Any], must: str, default: Any = None) -> None:
        super().__init__(load_default=default)
        self._parse = parse
        self._must = must

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            return self._parse(value)
        except ValueError:
            raise ValidationError(f"must be {self._must}") from None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a declared URL points. Its repr shows none of it."""

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
    """How long a run may take: what blocks must give up by then."""
    options: Mapping[str, Any] = field(repr=False)
    """The scheme's own options, as their fields have loaded them, defaults included."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A scheme of declared URLs. Another package brings one by the entry-point group `GROUP`.

    With `nats = petsage_nats:scheme` in that group, `queue=nats://queue:4222` becomes a check.
    """

    form: str
    """What its URLs look like: shown when one does not."""

    bring: Callable[[Target], Run]
    """Returns what asks this target: it is called for each run, in a thread, and raises if the
    target is unwell. The message of whatever `Exception` it raises is told, without the URL's
    secrets. It keeps no connection between runs, and imports its driver when it is called."""

    pattern: str = AUTH + HOST + PORT + PATH + QUERY
    """What stands between `://` and the fragment, as a regular expression with these groups."""

    port: int = 0
    """The default port."""

    options: Mapping[str, fields.Field[Any]] = field(default_factory=dict)
    """The options of its own that the fragment may have: a marshmallow field loads each."""

    modules: tuple[str, ...] = ()
    """The modules that it needs: without them the start is refused."""

    install: str = ""
    """What `pip install` brings them with."""

    def missing(self) -> str:
        """The line that installs the missing driver, or nothing.

        The driver is imported here, before any fork and any deadline: no first run waits for it.
        """
        try:
            for module in self.modules:
                import_module(module)
        except ImportError:
            return f"its driver is not installed: pip install '{self.install}'"
        return ""


def brought() -> tuple[str, ...]:
    """The names of the schemes that other packages bring."""
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
        raise ValidationError(f"the package of scheme {name} does not bring a petsage Scheme")
    return scheme
