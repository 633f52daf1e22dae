"""What is asked for: a feature's name, description, requirements and fields."""

import builtins
import json
import keyword
import re
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, ValidationError, fields

from petsage.builder import BuildError, types
from petsage.checks import OWN_NAMES
from petsage.errors import nearest

MAX_BYTES = 64 * 1024
"""A longer request is refused."""

_MAX_NAME = 40
_MAX_TEXT = 500
_MAX_ENTRIES = 50

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_NAME_RULE = (
    f"must be 1 to {_MAX_NAME} lower-case ASCII letters, digits and single underscores, "
    "a letter first, such as pet_birthday"
)

# A view has the name of its feature, a folder too; neither may hide what is Python's or PetSage's.
# The linter refuses `l`, which looks like 1.
_OWN_FEATURES = frozenset(
    {"blueprint", "check", "check_failed", "exact_decimal", "fields", "l", "schema", "validate"}
).union(keyword.softkwlist, sys.stdlib_module_names, dir(builtins), OWN_NAMES)
# What a generated class uses in its body is no name for one of its fields.
_OWN_FIELDS = frozenset(
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
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(_twice(key for key, _ in pairs))
        return dict(pairs)

    try:
        document = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):  # also a number of 5,000 digits, and what is no UTF-8
        raise BuildError("the request is not JSON in UTF-8") from None
    return _load(document, twice)


def from_options(
    feature: str, description: str | None, requirements: Iterable[str], field_options: Iterable[str]
) -> Request:
    """Loads a request from the command line's words; `field_options` are NAME:TYPE.

    Raises `BuildError` with all that is wrong.
    """
    pairs = [option.partition(":")[::2] for option in field_options]
    given: dict[str, Any] = {
        "feature": feature,
        "requirements": list(requirements),
        "fields": dict(pairs),
    }
    if description is not None:
        given["description"] = description
    return _load(given, _twice(name for name, _ in pairs))


def _twice(names: Iterable[str]) -> list[str]:
    names = list(names)
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def _load(document: object, twice: Iterable[str]) -> Request:
    problems = [f"{_shown(name)} is given twice; once would be right" for name in twice]
    try:
        loaded = RequestSchema().load(document)  # type: ignore[arg-type]
    except ValidationError as error:
        problems += _lines(error.messages_dict)
    if problems:
        raise BuildError(*problems)
    return Request(**{name: value for name, value in loaded.items() if value is not None})


def _lines(messages: Mapping[Any, Any], place: str = "") -> Iterator[str]:
    for key, told in messages.items():
        where = place + _shown(key)
        if isinstance(told, Mapping):
            yield from _lines(told, f"{where}.")
        elif key == "_schema":
            yield f"the request must be a JSON object with {', '.join(_KEYS)}"
        elif told == ["Unknown field."]:
            yield f"{where}: unknown{nearest(str(key)[:_MAX_NAME], _KEYS)}"
        else:
            yield from (f"{where}: {message}" for message in told)


def _shown(key: object) -> str:
    """A key of the request, as it is if it is a name or a number, else escaped and cut."""
    text = str(key)
    if len(text) <= _MAX_NAME and re.fullmatch(r"\w+", text, re.ASCII):
        return text
    return ascii(text if len(text) <= _MAX_NAME else f"{text[:_MAX_NAME]}...")


def _check_feature(name: str) -> None:
    if problem := _name_problem(name, _OWN_FEATURES):
        raise ValidationError(problem)


def _name_problem(name: str, taken: Container[str]) -> str | None:
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        return _NAME_RULE
    if keyword.iskeyword(name) or name in taken:
        return f"{name} has a meaning in the code already; pet_{name} would be right"
    return None


class _Text(fields.String):
    """Text on one line. What cannot be seen could only mislead whoever reads the code."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = " ".join(super()._deserialize(value, attr, data, **kwargs).split())
        if not 1 <= len(text) <= _MAX_TEXT:
            raise ValidationError(f"must be a text of 1 to {_MAX_TEXT} characters")
        for character in text:
            if not character.isprintable():
                raise ValidationError(f"must be printable, without U+{ord(character):04X}")
        return text


class _Requirements(fields.Field[tuple[str, ...]]):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> tuple[str, ...]:
        texts = [] if value in (None, "none", ["none"]) else value
        if not isinstance(texts, list) or len(texts) > _MAX_ENTRIES:
            raise ValidationError(f'must be a list of {_MAX_ENTRIES} texts at most, null or "none"')
        return tuple(map(str, fields.List(_Text()).deserialize(texts)))


class _Fields(fields.Field[tuple[tuple[str, str], ...]]):
    def _deserialize(
        self, value: Any, attr: Any, data: Any, **kwargs: Any
    ) -> tuple[tuple[str, str], ...]:
        if not isinstance(value, dict) or len(value) > _MAX_ENTRIES:
            raise ValidationError(
                f'must be an object like {{"pet": "string!"}}, {_MAX_ENTRIES} fields at most'
            )
        problems = {name: told for name, of in value.items() if (told := _wrong(name, of))}
        if problems:
            raise ValidationError(problems)
        return tuple(value.items())


def _wrong(name: str, of: object) -> list[str]:
    told = [problem] if (problem := _name_problem(name, _OWN_FIELDS)) else []
    try:
        types.parse(of)
    except ValidationError as error:
        told += error.messages
    return told


class RequestSchema(Schema):
    """A request as it is written down."""

    feature = fields.String(required=True, validate=_check_feature)
    description = _Text(required=True)
    requirements = _Requirements(allow_none=True)
    # A schema has an attribute `fields` of its own.
    fields_ = _Fields(allow_none=True, data_key="fields", attribute="fields")


_KEYS = tuple(declared.data_key or name for name, declared in RequestSchema().fields.items())
