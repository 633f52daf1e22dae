"""The types that a field of a request can have: `string`, `date!`, `enum:cat:dog`, `list:url`."""

import re
from dataclasses import dataclass, replace
from typing import Any

from marshmallow import ValidationError

from petsage.errors import nearest

MAX_CHARACTERS = 1000
_MAX_CHOICE = 40
_CHOICE = re.compile(r"\w[\w.+-]*( [\w.+-]+)*")


@dataclass(frozen=True, slots=True)
class FieldType:
    """What the generated code needs of a type, and two values in JSON."""

    field: str
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

    @property
    def declaration(self) -> str:
        """The field as a schema declares it. An optional field is None unless it is sent."""
        presence = "required=True" if self.required else "load_default=None"
        return _call(self.field, *self.options, presence)

    @property
    def annotation(self) -> str:
        """The field as a dataclass declares it."""
        return self.python if self.required else f"{self.python} | None = None"


_PLAIN = {
    "string": FieldType("fields.String", "str", "Rex", 7),
    "integer": FieldType("fields.Integer", "int", 3, "many", ("strict=True",)),
    "float": FieldType("fields.Float", "float", 4.5, "many"),
    "boolean": FieldType("fields.Boolean", "bool", True, "perhaps"),
    "date": FieldType("fields.Date", "dt.date", "2026-03-31", "soon"),
    "datetime": FieldType(
        "fields.AwareDateTime",
        "dt.datetime",
        "2026-03-31T12:00:00+00:00",
        "soon",
        ("default_timezone=dt.UTC",),
    ),
    "decimal": FieldType("ExactDecimal", "Decimal", "19.90", "soon"),
    "uuid": FieldType("fields.UUID", "UUID", "7d44a5a2-1b0c-4b52-9f6e-3f8f2f0f9a61", "rex"),
    "email": FieldType("fields.Email", "str", "rex@example.com", "rex"),
    "url": FieldType("fields.URL", "str", "https://example.com/rex", "rex"),
}
NAMES = (*_PLAIN, "enum:a:b", "list:TYPE")


def parse(text: object) -> FieldType:
    """Reads a type; a `!` at its end makes the field required. Raises `ValidationError`."""
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        raise ValidationError(f"must be a type, of {MAX_CHARACTERS} characters at most")
    bare = text.removesuffix("!")
    return replace(_parse(bare), required=bare != text)


def _parse(text: str) -> FieldType:
    kind, colon, rest = text.partition(":")
    if kind == "enum":
        return _enum(rest.split(":"))
    if kind == "list" and colon:
        return _list(rest)
    if text in _PLAIN:
        return replace(_PLAIN[text], kinds=frozenset({text}))
    raise ValidationError(f"unknown type{nearest(kind[:40], NAMES)}")


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


def _list(item: str) -> FieldType:
    if item.partition(":")[0] == "list":
        raise ValidationError("a list holds no lists: list:TYPE takes any other type")
    of = _parse(item)
    return FieldType(
        "fields.List",
        f"list[{of.python}]",
        [of.example],
        [of.wrong],
        (_call(of.field, *of.options),),
        of.kinds | {"list"},
    )


def _call(function: str, *arguments: str) -> str:
    return f"{function}({', '.join(arguments)})"
