"""The types that a field of a request can have: `string`, `date!`, `enum:cat:dog`, `list:url`."""

import re
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from petsage.hints import nearest

MAX_CHARACTERS = 1000
_MAX_CHOICE = 40
_CHOICE = re.compile(r"\w[\w.+-]*( [\w.+-]+)*")


@dataclass(frozen=True, slots=True)
class FieldType:
    """What the generated code says of a type, and a value that is valid JSON for it."""

    field: str
    """The marshmallow field's class."""
    python: str
    """The annotation of a loaded value."""
    example: Any
    options: tuple[str, ...] = ()
    """Arguments of the marshmallow field."""
    required: bool = False

    @property
    def declaration(self) -> str:
        """The field as a schema declares it. What is not required is None unless it is sent."""
        presence = "required=True" if self.required else "load_default=None"
        return _call(self.field, *self.options, presence)

    @property
    def annotation(self) -> str:
        """The field as a dataclass declares it."""
        return self.python if self.required else f"{self.python} | None = None"


_PLAIN = {
    "string": FieldType("fields.String", "str", "Rex"),
    "integer": FieldType("fields.Integer", "int", 3, ("strict=True",)),
    "float": FieldType("fields.Float", "float", 4.5),
    "boolean": FieldType("fields.Boolean", "bool", True),
    "date": FieldType("fields.Date", "dt.date", "2026-03-31"),
    "datetime": FieldType(
        "fields.AwareDateTime",
        "dt.datetime",
        "2026-03-31T12:00:00+00:00",
        ("default_timezone=dt.UTC",),
    ),
    "decimal": FieldType("ExactDecimal", "Decimal", "19.90"),
    "uuid": FieldType("fields.UUID", "UUID", "7d44a5a2-1b0c-4b52-9f6e-3f8f2f0f9a61"),
    "email": FieldType("fields.Email", "str", "rex@example.com"),
    "url": FieldType("fields.URL", "str", "https://example.com/rex"),
}
NAMES = (*_PLAIN, "enum:a:b", "list:TYPE")


def parse(text: object) -> FieldType:
    """Reads a type, `!` behind one that is required. Raises `marshmallow.ValidationError`."""
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        raise ValidationError(f"must be a type, of {MAX_CHARACTERS} characters at most")
    bare = text.removesuffix("!")
    found = _parse(bare)
    return FieldType(found.field, found.python, found.example, found.options, bare != text)


def _parse(text: str) -> FieldType:
    kind, colon, rest = text.partition(":")
    if kind == "enum":
        return _enum(rest.split(":"))
    if kind == "list" and colon:
        return _list(rest)
    if text in _PLAIN:
        return _PLAIN[text]
    raise ValidationError(f"unknown type{nearest(kind[:40], NAMES)}")


def _enum(choices: list[str]) -> FieldType:
    if len(set(choices)) < len(choices):
        raise ValidationError("a choice stands twice in the enum")
    if not all(_CHOICE.fullmatch(c) and len(c) <= _MAX_CHOICE for c in choices):
        raise ValidationError(
            f"must be enum:a:b, each choice 1 to {_MAX_CHOICE} letters, digits, spaces, _ . + or -"
        )
    return FieldType("fields.String", "str", choices[0], (f"validate=validate.OneOf({choices})",))


def _list(item: str) -> FieldType:
    if item.partition(":")[0] == "list":
        raise ValidationError("a list holds no lists: list:TYPE takes any other type")
    of = _parse(item)
    return FieldType(
        "fields.List", f"list[{of.python}]", [of.example], (_call(of.field, *of.options),)
    )


def _call(function: str, *arguments: str) -> str:
    return f"{function}({', '.join(arguments)})"
