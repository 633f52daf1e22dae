"""The types of a request's fields: `string`, `date!`, `{"type": "integer", "minimum": 0}`."""

import datetime as dt
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from petsage import features
from petsage.errors import nearest

MAX_CHARACTERS = 1000
MAX_TEXT = 500
_MAX_NUMBER = 1e15
_MAX_LENGTH = 10_000
_CHOICE = re.compile(r"(?=.{1,40}\Z)\w[\w.+-]*( [\w.+-]+)*")


class Text(fields.String):
    """Text in one line: white space of any kind and length is a single space."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=[validate.Length(1, MAX_TEXT), _check_printable], **options)

    def _deserialize(self, *value: Any, **options: Any) -> str:
        return " ".join(super()._deserialize(*value, **options).split())


def _check_printable(text: str) -> None:
    # Invisible characters could mislead a reader of the generated code.
    if hidden := next((character for character in text if not character.isprintable()), None):
        raise ValidationError(f"must be printable, without U+{ord(hidden):04X}")


def _check_number(value: Any) -> None:
    if type(value) not in (int, float) or abs(value) > _MAX_NUMBER:
        raise ValidationError(f"must be a number from -{_MAX_NUMBER:.0e} to {_MAX_NUMBER:.0e}")


class _FieldSchema(Schema):
    """A field in JSON Schema's words, except for the type."""

    type = fields.Raw(required=True)
    description = Text()
    minimum = fields.Raw(validate=_check_number)
    maximum = fields.Raw(validate=_check_number)
    minLength = features.ExactInteger(validate=validate.Range(0, _MAX_LENGTH))  # noqa: N815
    maxLength = features.ExactInteger(validate=validate.Range(1, _MAX_LENGTH))  # noqa: N815
    default = fields.Raw()
    examples = fields.List(fields.Raw(), validate=validate.Length(1, 10))


WORDS = tuple(_FieldSchema().fields)


@dataclass(frozen=True, slots=True)
class FieldType:
    """What the templates need to know of a field. Its example and its wrong value are JSON's."""

    marshmallow: fields.Field[Any]
    """The marshmallow field, whose code is rendered from its class and arguments."""
    python: str
    """The annotation of a loaded value."""
    example: Any
    """A value that is valid."""
    wrong: Any
    """A value that is not valid for this type."""
    kinds: frozenset[str] = frozenset()
    """The names of the types that it is made of, on which the generated imports depend."""
    required: bool = False
    words: Mapping[str, Any] = field(default_factory=dict)
    """What the request says of it, by JSON Schema's words."""
    bounds: Mapping[str, Any] = field(default_factory=dict)
    """The bounds of a valid value or length, by `min` and `max`."""


_NOON = "2999-03-31T12:00:00+00:00"
_UTC = fields.AwareDateTime(default_timezone=dt.UTC)
PLAIN = {
    "string": FieldType(fields.String(), "str", "Rex", 7),
    "integer": FieldType(features.ExactInteger(), "int", 3, "many"),
    "float": FieldType(features.ExactFloat(), "float", 4.5, "many"),
    "boolean": FieldType(features.ExactBoolean(), "bool", True, "perhaps"),
    # A rule such as "in the future" must hold for the example whenever the tests run.
    "date": FieldType(fields.Date(), "dt.date", "2999-03-31", "soon"),
    "datetime": FieldType(_UTC, "dt.datetime", _NOON, "soon"),
    "decimal": FieldType(features.ExactDecimal(), "Decimal", "19.90", "soon"),
    "uuid": FieldType(fields.UUID(), "UUID", "7d44a5a2-1b0c-4b52-9f6e-3f8f2f0f9a61", "rex"),
    "email": FieldType(fields.Email(), "str", "rex@example.com", "rex"),
    "url": FieldType(fields.URL(), "str", "https://example.com/rex", "rex"),
}
NAMES = (*PLAIN, "enum:a:b", "list:TYPE")

_NUMBER = (validate.Range, "minimum", "maximum")
_TEXT = (validate.Length, "minLength", "maxLength")
_BOUNDS = {"string": _TEXT, "integer": _NUMBER, "float": _NUMBER}
_WITH_DEFAULT = {"string", "integer", "float", "boolean", "enum", "email", "url"}


def parse(declared: object) -> FieldType:
    """Reads a type, or an object with a type; a `!` at its end makes the field required.

    Raises `ValidationError`.
    """
    words = _FieldSchema().load(declared if isinstance(declared, dict) else {"type": declared})
    text = words.pop("type")
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        raise ValidationError(f"must be a type, of {MAX_CHARACTERS} characters at most")
    bare = text.removesuffix("!")
    of = _bounded(replace(_parse(bare), required=bare != text, words=words))
    if "default" in words and (of.required or not of.kinds <= _WITH_DEFAULT):
        raise ValidationError({"default": ["is not for this type, nor for a required field"]})
    for value in words.get("examples", ()):
        _check_value(of, "examples", value)
    if "default" in words:
        _check_value(of, "default", words["default"])
    return replace(of, example=words.get("examples", [of.example])[0])


def _parse(text: str) -> FieldType:
    kind, colon, rest = text.partition(":")
    if kind == "enum":
        return _enum(rest.split(":"))
    if kind == "list" and colon:
        return _list(rest)
    if text not in PLAIN:
        raise ValidationError(f"unknown type{nearest(kind[:40], NAMES)}")
    return replace(PLAIN[text], kinds=frozenset({text}))


def _enum(choices: list[str]) -> FieldType:
    if len(set(choices)) < len(choices):
        raise ValidationError("an enum may not have the same choice twice")
    if not all(map(_CHOICE.fullmatch, choices)):
        raise ValidationError("must be enum:a:b, each choice 1 to 40 letters, digits, spaces, _.+-")
    # "?" is a wrong value: no choice may begin with it.
    one_of = fields.String(validate=validate.OneOf(choices))
    return FieldType(one_of, "str", choices[0], "?", frozenset({"enum"}))


def _list(item: str) -> FieldType:
    if item.partition(":")[0] == "list":
        raise ValidationError("a list holds no lists: list:TYPE takes any other type")
    of = _parse(item)
    items, kinds = fields.List(of.marshmallow), of.kinds | {"list"}
    return FieldType(items, f"list[{of.python}]", [of.example], [of.wrong], kinds)


def _bounded(of: FieldType) -> FieldType:
    given = [word for word in WORDS if word in of.words and word.startswith(("min", "max"))]
    if not given:
        return of
    # A list has two kinds, and no bounds.
    rule, least, most = _BOUNDS.get("".join(of.kinds), (validate.Range, "", ""))
    if not set(given) <= {least, most}:
        raise ValidationError({given[0]: ["is not for this type"]})
    bounds = {word[:3]: of.words[word] for word in given}
    if "integer" in of.kinds and float in map(type, bounds.values()):
        raise ValidationError({given[0]: ["must be an integer"]})
    if bounds.get("min", -math.inf) > bounds.get("max", math.inf):
        raise ValidationError({least: [f"is above {most}"]})
    checked = type(of.marshmallow)(validate=rule(**bounds))
    return replace(of, marshmallow=checked, bounds=bounds, example=_within(of.example, bounds))


def _within(example: Any, bounds: Mapping[str, Any]) -> Any:
    if isinstance(example, str):
        return example.ljust(bounds.get("min", 0), "x")[: bounds.get("max")]
    return sorted([bounds.get("min", -math.inf), example, bounds.get("max", math.inf)])[1]


def _check_value(of: FieldType, word: str, value: object) -> None:
    written = json.dumps(value, ensure_ascii=False)
    if len(written) > MAX_CHARACTERS or not written.isprintable():
        raise ValidationError({word: [f"must be printable, {MAX_CHARACTERS} characters at most"]})
    try:
        loaded = of.marshmallow.deserialize(value)
        back = of.marshmallow.serialize("value", {"value": loaded})
    except ValidationError as error:
        raise ValidationError({word: error.messages}) from None
    # An integer may be sent as 7.0, but its default in the code may not.
    if back != value or (isinstance(back, int) and isinstance(value, float)):
        raise ValidationError({word: ["does not come back as it is sent"]})
