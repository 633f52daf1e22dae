"""A feature request: the feature's name, description, requirements and fields."""

import builtins
import keyword
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validate

from petsage.builder import BuildError, types
from petsage.checks import OWN_NAMES
from petsage.errors import nearest
from petsage.json_text import read_json
from petsage.printable import ascii_line

MAX_BYTES = 64 * 1024
"""A longer request is refused."""

_MAX_NAME = 40
_MAX_TEXT = 500
_MAX_ENTRIES = 50

_NAME = rf"(?=.{{1,{_MAX_NAME}}}\Z)[a-z][a-z0-9]*(_[a-z0-9]+)*\Z"
_NAME_RULE = (
    f"must be 1 to {_MAX_NAME} lower-case ASCII letters, digits and single underscores, "
    "a letter first, such as pet_birthday"
)

# A feature gives its name to a folder and to a view, and neither may hide a name of Python or of
# PetSage. The linter refuses `l`, which looks like 1.
_TAKEN_BY_MODULES = frozenset(
    {"blueprint", "check", "check_failed", "exact_decimal", "fields", "l", "schema", "validate"}
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
    """One paragraph, one line: any white space in it is a single space."""
    requirements: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    """Names and types, in the order of the request."""

    def to_json(self) -> dict[str, Any]:
        """The request as it can be loaded again."""
        return {
            "feature": self.feature,
            "description": self.description,
            "requirements": list(self.requirements),
            "fields": dict(self.fields),
        }


def from_json(text: bytes) -> Request:
    """Loads a request. Raises `BuildError` with all that is wrong with it."""
    if len(text) > MAX_BYTES:
        raise BuildError(f"the request is too long: it may have {MAX_BYTES // 1024} KiB")
    try:
        return _load(read_json(text))
    except ValueError as error:
        raise BuildError(f"the request is not JSON: {error}") from None


def from_options(
    feature: str, description: str | None, requirements: Iterable[str], field_options: Iterable[str]
) -> Request:
    """Loads a request from the command line's words; `field_options` are NAME:TYPE.

    Raises `BuildError` with all that is wrong.
    """
    pairs = [option.partition(":")[::2] for option in field_options]
    if len(dict(pairs)) < len(pairs):
        raise BuildError("a field is given twice")
    described = {} if description is None else {"description": description}
    return _load(
        {
            "feature": feature,
            **described,
            "requirements": list(requirements),
            "fields": dict(pairs),
        }
    )


def _load(document: object) -> Request:
    try:
        request: Request = RequestSchema().load(document)  # type: ignore[arg-type]
    except ValidationError as error:
        raise BuildError(*_lines(error.messages_dict)) from None
    return request


def _lines(messages: Mapping[Any, Any], place: str = "") -> Iterator[str]:
    """marshmallow's messages, a line each, with the place in the request that each is about."""
    for key, below in messages.items():
        where = f"{place}{ascii_line(key, _MAX_NAME)}"
        if isinstance(below, Mapping):
            yield from _lines(below, f"{where}.")
        elif key == "_schema":
            yield f"the request must be a JSON object with {', '.join(_KEYS)}"
        elif below == ["Unknown field."]:
            yield f"{where}: unknown{nearest(str(key)[:_MAX_NAME], _KEYS)}"
        else:
            # A dictionary's messages are about its key or its value.
            about = place[:-1] if key in ("key", "value") else where
            yield from (f"{about}: {message}" for message in below)


def _check_printable(text: str) -> None:
    # Text that cannot be seen could only mislead whoever reads the code.
    if hidden := next((character for character in text if not character.isprintable()), None):
        raise ValidationError(f"must be printable, without U+{ord(hidden):04X}")


class _Text(fields.String):
    """Text in one line: white space of any kind and length is a single space."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=[validate.Length(1, _MAX_TEXT), _check_printable], **options)

    def _deserialize(self, *value: Any, **options: Any) -> str:
        return " ".join(super()._deserialize(*value, **options).split())


def _name(taken: Iterable[str]) -> fields.String:
    meaning = "{input} has a meaning in the code already; pet_{input} would be right"
    free = validate.NoneOf([*keyword.kwlist, *taken], error=meaning)
    rule = validate.Regexp(_NAME, error=_NAME_RULE)
    return fields.String(required=True, validate=[rule, free])


class RequestSchema(Schema):
    """A request as it is written down."""

    feature = _name(_TAKEN_BY_MODULES)
    description = _Text(required=True)
    requirements = fields.List(_Text(), load_default=(), validate=validate.Length(max=_MAX_ENTRIES))
    # A schema has an attribute `fields` of its own.
    fields_ = fields.Dict(
        _name(_TAKEN_BY_CLASSES),
        fields.Raw(validate=types.parse),
        data_key="fields",
        load_default=(),
        validate=validate.Length(max=_MAX_ENTRIES),
    )

    @pre_load
    def _leave_out_none(self, given: Any, **_: Any) -> Any:
        if not isinstance(given, dict):
            return given
        nothing = {"requirements": (None, "none", ["none"]), "fields": (None,)}
        return {key: value for key, value in given.items() if value not in nothing.get(key, ())}

    @post_load
    def _make(self, loaded: dict[str, Any], **_: Any) -> Request:
        requirements, pairs = tuple(loaded["requirements"]), tuple(dict(loaded["fields_"]).items())
        return Request(loaded["feature"], loaded["description"], requirements, pairs)


_KEYS = tuple(declared.data_key or name for name, declared in RequestSchema().fields.items())
