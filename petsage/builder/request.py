"""A feature request: the feature's name, description, requirements and fields."""

import builtins
import keyword
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validate

from petsage import features
from petsage.builder import BuildError, types
from petsage.checks import OWN_NAMES
from petsage.errors import nearest
from petsage.json_text import read_json
from petsage.printable import ascii_line

MAX_BYTES = 1024 * 1024
"""A longer request is refused."""

MAX_PROBLEMS = 10
"""How many problems of a request are printed at most."""

_MAX_NAME = 40
_FEW = validate.Length(max=50)

_NAME = rf"(?=.{{1,{_MAX_NAME}}}\Z)[a-z][a-z0-9]*(_[a-z0-9]+)*\Z"
_NAME_RULE = (
    f"must be 1 to {_MAX_NAME} lower-case ASCII letters, digits and single underscores; "
    "the first is a letter, as in pet_birthday"
)

# A feature gives its name to a folder, a view and a class, and none of them may hide a name of
# Python or of PetSage. The linter refuses `l`, which looks like 1.
_OWN = [
    name
    for name, value in vars(features).items()
    if getattr(value, "__module__", "") == features.__name__
]
_TAKEN_BY_MODULES = frozenset(
    {"check", "check_failed", "fields", "l", "schema", "validate"}
    | {re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in _OWN}
).union(keyword.softkwlist, sys.stdlib_module_names, dir(builtins), OWN_NAMES)
# A field may not hide a name that the body of its class uses.
_TAKEN_BY_CLASSES = frozenset(
    {"bool", "dict", "dt", "float", "int", "l", "list", "post_load", "self", "str"}
).union(dir(Schema()))


@dataclass(frozen=True, slots=True)
class Request:
    """A feature request that is known to be valid."""

    feature: str
    description: str
    """One line: any white space in it is a single space."""
    requirements: tuple[str, ...] = ()
    fields: tuple[tuple[str, str | Mapping[str, Any]], ...] = ()
    """Names and types, in the order of the request."""
    method: str = ""
    """GET or POST; by default POST if there are fields."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", self.method or ("POST" if self.fields else "GET"))

    def to_json(self) -> dict[str, Any]:
        """The request as it can be loaded again."""
        return asdict(self) | {"requirements": [*self.requirements], "fields": dict(self.fields)}


def from_json(text: bytes) -> Request:
    """Loads a request. Raises `BuildError` with all that is wrong with it."""
    check_length(text)
    try:
        document = read_json(text)
    except ValueError as error:
        raise BuildError(f"the request is not JSON: {error}") from None
    return load(document)


def check_length(text: bytes) -> None:
    """Raises `BuildError` if a request, or a record of one, is longer than `MAX_BYTES`."""
    if len(text) > MAX_BYTES:
        raise BuildError(f"the request is too long: it may have {MAX_BYTES // 1024**2} MiB")


def from_options(
    name: str, requirement: Iterable[str] = (), field: Iterable[str] = (), **given: str | None
) -> Request:
    """Loads a request from the command line's options; each `field` is NAME:TYPE.

    Raises `BuildError` with all that is wrong.
    """
    pairs = [option.partition(":")[::2] for option in field]
    if len(dict(pairs)) < len(pairs):
        raise BuildError("a field is given twice")
    document = {"feature": name, "requirements": [*requirement], "fields": dict(pairs), **given}
    return load({key: value for key, value in document.items() if value is not None})


def load(document: object) -> Request:
    """Loads a request from its JSON document. Raises `BuildError` with all that is wrong."""
    try:
        request: Request = RequestSchema().load(document)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [*_lines(error.messages)]
        more = [f"and {len(lines) - MAX_PROBLEMS} more"] if len(lines) > MAX_PROBLEMS else []
        raise BuildError(*lines[:MAX_PROBLEMS], *more) from None
    return request


def _lines(messages: Any, *place: str) -> Iterator[str]:
    """marshmallow's messages, a line for each, with its place in the request."""
    if place == ("_schema",):
        yield f"the request must be a JSON object with {', '.join(_KEYS)}"
    elif messages == ["Unknown field."]:
        known = types.WORDS if place[1:] else _KEYS
        yield f"{'.'.join(place)}: unknown{nearest(place[-1], known)}"
    elif isinstance(messages, list):
        yield from (f"{'.'.join(place)}: {message}" for message in messages)
    else:
        for key, below in messages.items():
            # For a dictionary marshmallow adds a level: messages about the key, or about the value.
            for level in below.values() if place == ("fields",) else [below]:
                yield from _lines(level, *place, ascii_line(key, _MAX_NAME))


def _name(taken: Iterable[str]) -> fields.String:
    meaning = "{input} is used by the code already; pet_{input} would be right"
    free = validate.NoneOf([*keyword.kwlist, *taken], error=meaning)
    rule = validate.Regexp(_NAME, error=_NAME_RULE)
    return fields.String(required=True, validate=[rule, free])


class _Type(fields.Field[Any]):
    def _deserialize(self, value: Any, *place: Any, **options: Any) -> Any:
        types.parse(value)
        return value


class RequestSchema(Schema):
    """A request as JSON."""

    feature = _name(_TAKEN_BY_MODULES)
    description = types.Text(required=True)
    requirements = fields.List(types.Text(), allow_none=True, validate=_FEW)
    # marshmallow's schemas have an attribute `fields`, so this one has another name.
    fields_ = fields.Dict(
        _name(_TAKEN_BY_CLASSES), _Type(), data_key="fields", allow_none=True, validate=_FEW
    )
    method = fields.String(validate=validate.OneOf(["GET", "POST"]))
    files = fields.Raw()  # ignored: a record holds the built files beside its request

    @pre_load
    def _know_none(self, given: Any, **_: Any) -> Any:
        if isinstance(given, dict) and given.get("requirements") in ("none", ["none"]):
            return given | {"requirements": None}
        return given

    @post_load
    def _make(self, loaded: dict[str, Any], **_: Any) -> Request:
        requirements = tuple(dict.fromkeys(loaded.get("requirements") or ()))
        method, pairs = loaded.get("method", ""), tuple((loaded.get("fields_") or {}).items())
        if method == "POST" and not pairs:
            raise ValidationError("must be GET: there is nothing to send", "method")
        return Request(loaded["feature"], loaded["description"], requirements, pairs, method)


_KEYS = ("feature", "description", "requirements", "fields", "method")
