"""The fields that a request can ask for: `string`, `date!`, `{"type": "integer", "minimum": 0}`."""

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
_MAX_CHOICE = 40
_MAX_NUMBER = 1e15
_MAX_LENGTH = 10_000
_CHOICE = re.compile(r"\w[\w.+-]*( [\w.+-]+)*")
_LINE = 40  # characters of a text that fit on a line of code, though they be wide or escaped


class Text(fields.String):
    """Text in one line: white space of any kind and length is a single space."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=[validate.Length(1, MAX_TEXT), _check_printable], **options)

    def _deserialize(self, *value: Any, **options: Any) -> str:
        return " ".join(super()._deserialize(*value, **options).split())


def _check_printable(text: str) -> None:
    # Text that cannot be seen could only mislead whoever reads the code.
    if hidden := next((character for character in text if not character.isprintable()), None):
        raise ValidationError(f"must be printable, without U+{ord(hidden):04X}")


def _check_number(value: Any) -> None:
    if type(value) not in (int, float) or abs(value) > _MAX_NUMBER:
        raise ValidationError(f"must be a number from -{_MAX_NUMBER:.0e} to {_MAX_NUMBER:.0e}")


class _FieldSchema(Schema):
    """A field in JSON Schema's words; the type is PetSage's."""

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
    """What the generated code needs of a field, and values of it in JSON."""

    marshmallow: str
    """The marshmallow field's class."""
    python: str
    """The annotation of a loaded value."""
    example: Any
    """A value that is valid."""
    wrong: Any
    """A value that is not valid, though it may be for another type."""
    options: tuple[str, ...] = ()
    """Arguments of the marshmallow field."""
    kinds: frozenset[str] = frozenset()
    """The names of the types that it is made of: the generated imports depend on them."""
    required: bool = False
    words: Mapping[str, Any] = field(default_factory=dict)
    """What the request says of it, in JSON Schema's words."""
    bounds: Mapping[str, Any] = field(default_factory=dict)
    """The least and the greatest value or length that is valid: `min`, `max`."""

    @property
    def declaration(self) -> str:
        """The field as a schema declares it. An optional field is its default unless it is sent."""
        known = {key: self.words[key] for key in ("description", "examples") if key in self.words}
        metadata = (f"metadata={literal(known)}",) if known else ()
        default = literal(self.words.get("default"))
        presence = "required=True" if self.required else f"load_default={default}"
        return _call(self.marshmallow, *self.options, presence, *metadata)


PLAIN = {
    "string": FieldType("fields.String", "str", "Rex", 7),
    "integer": FieldType("ExactInteger", "int", 3, "many"),
    "float": FieldType("ExactFloat", "float", 4.5, "many"),
    "boolean": FieldType("ExactBoolean", "bool", True, "perhaps"),
    # A rule such as "in the future" must hold for the example whenever the tests run.
    "date": FieldType("fields.Date", "dt.date", "2999-03-31", "soon"),
    "datetime": FieldType(
        "fields.AwareDateTime",
        "dt.datetime",
        "2999-03-31T12:00:00+00:00",
        "soon",
        ("default_timezone=dt.UTC",),
    ),
    "decimal": FieldType("ExactDecimal", "Decimal", "19.90", "soon"),
    "uuid": FieldType("fields.UUID", "UUID", "7d44a5a2-1b0c-4b52-9f6e-3f8f2f0f9a61", "rex"),
    "email": FieldType("fields.Email", "str", "rex@example.com", "rex"),
    "url": FieldType("fields.URL", "str", "https://example.com/rex", "rex"),
}
NAMES = (*PLAIN, "enum:a:b", "list:TYPE")

_BOUNDS = {
    "string": ("minLength", "maxLength"),
    "integer": ("minimum", "maximum"),
    "float": ("minimum", "maximum"),
}
_WITH_DEFAULT = {"string", "integer", "float", "boolean", "enum", "email", "url"}
_EXACT = {name: getattr(features, name) for name in dir(features) if name.startswith("Exact")}


def parse(asked: object, query: bool = False) -> FieldType:
    """Reads a type, or an object with one; a `!` at its end makes the field required.

    `query` is for a field of the URL's query. Raises `ValidationError`.
    """
    words = _FieldSchema().load(asked if isinstance(asked, dict) else {"type": asked})
    text = words.pop("type")
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        raise ValidationError(f"must be a type, of {MAX_CHARACTERS} characters at most")
    bare = text.removesuffix("!")
    of = _bounded(replace(_parse(bare, query), required=bare != text, words=words))
    if "default" in words and (of.required or not of.kinds <= _WITH_DEFAULT):
        raise ValidationError({"default": ["is not for this type, nor for a required field"]})
    for value in words.get("examples", ()):
        _check_value(of, "examples", value)
    if "default" in words:
        _check_value(of, "default", words["default"])
    return replace(of, example=words.get("examples", [of.example])[0])


def _parse(text: str, query: bool) -> FieldType:
    kind, colon, rest = text.partition(":")
    if kind == "enum":
        return _enum(rest.split(":"))
    if kind == "list" and colon:
        return _list(rest, query)
    if text not in PLAIN:
        raise ValidationError(f"unknown type{nearest(kind[:40], NAMES)}")
    return replace(PLAIN[text], marshmallow=marshmallow(text, query), kinds=frozenset({text}))


def marshmallow(kind: str, query: bool) -> str:
    """The class of a plain type. In a query all is text, which marshmallow's own fields read."""
    name = PLAIN[kind].marshmallow
    return name.replace("Exact", "fields.") if query and kind != "decimal" else name


def _enum(choices: list[str]) -> FieldType:
    if len(set(choices)) < len(choices):
        raise ValidationError("an enum may not have the same choice twice")
    if not all(_CHOICE.fullmatch(c) and len(c) <= _MAX_CHOICE for c in choices):
        raise ValidationError(
            f"must be enum:a:b, each choice 1 to {_MAX_CHOICE} letters, digits, spaces, _ . + or -"
        )
    # No choice begins with a question mark.
    options = (f"validate=validate.OneOf({choices})",)
    return FieldType("fields.String", "str", choices[0], "?", options, frozenset({"enum"}))


def _list(item: str, query: bool) -> FieldType:
    if item.partition(":")[0] == "list":
        raise ValidationError("a list holds no lists: list:TYPE takes any other type")
    of = _parse(item, query)
    items = _call(of.marshmallow, *of.options)
    kinds = of.kinds | {"list"}
    return FieldType("fields.List", f"list[{of.python}]", [of.example], [of.wrong], (items,), kinds)


def _bounded(of: FieldType) -> FieldType:
    given = [word for word in WORDS if word in of.words and word.startswith(("min", "max"))]
    words = _BOUNDS.get("".join(of.kinds), ("", ""))  # a list has two kinds
    if not given:
        return of
    if not set(given) <= set(words):
        raise ValidationError({given[0]: ["is not for this type"]})
    names = dict(zip(words, ("min", "max"), strict=True))
    bounds = {names[word]: of.words[word] for word in given}
    if "integer" in of.kinds and float in map(type, bounds.values()):
        raise ValidationError({given[0]: ["must be an integer"]})
    if bounds.get("min", -math.inf) > bounds.get("max", math.inf):
        raise ValidationError({words[0]: [f"is above {words[1]}"]})
    validator = "validate.Length" if "string" in of.kinds else "validate.Range"
    checked = _call(validator, *(f"{name}={bound}" for name, bound in bounds.items()))
    options = (*of.options, f"validate={checked}")
    return replace(of, options=options, bounds=bounds, example=_within(of.example, **bounds))


def _within(example: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    if isinstance(example, str):
        return example.ljust(min or 0, "x")[:max]
    low, high = (-math.inf if min is None else min), (math.inf if max is None else max)
    return sorted([low, example, high])[1]


def _check_value(of: FieldType, word: str, value: object) -> None:
    written = json.dumps(value, ensure_ascii=False)
    if len(written) > MAX_CHARACTERS or not written.isprintable():
        raise ValidationError({word: [f"must be printable, {MAX_CHARACTERS} characters at most"]})
    # The declaration is the builder's own code: each text of the request in it is a literal.
    known = {"dt": dt, "fields": fields, "validate": validate, **_EXACT}
    declared = eval(of.declaration, known)  # noqa: S307
    try:
        same = declared.serialize("it", {"it": declared.deserialize(value)}) == value
    except ValidationError as error:
        raise ValidationError({word: error.messages}) from None
    if not same:
        raise ValidationError({word: ["does not come back as it is sent"]})


def literal(value: object) -> str:
    """A value of JSON as Python source, to stand in brackets: a long text is cut into lines."""
    if isinstance(value, dict):
        pairs = (f"{literal(key)}: {literal(of)}" for key, of in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if not isinstance(value, str) or len(value) <= _LINE:
        return repr(value)
    return "\n".join(repr(value[at : at + _LINE]) for at in range(0, len(value), _LINE))


def _call(function: str, *arguments: str) -> str:
    return f"{function}({', '.join(arguments)})"
