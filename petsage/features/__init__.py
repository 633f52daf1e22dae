"""The features of the v1 API, a folder each, and what they have in common."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, ClassVar, NoReturn

from flask import Request
from flask_smorest import Blueprint as DocumentedBlueprint
from marshmallow import RAISE, ValidationError
from marshmallow.fields import Boolean, Field, Float, Integer
from marshmallow.fields import Decimal as DecimalField
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, HTTPException

from petsage.checks import CheckWarns
from petsage.printable import counted, one_line

# A feature becomes an attribute of this package: the builder refuses one with a name that is here.

MAX_ERRORS = 10
"""An answer lists so many wrong fields at most."""


class Refused(HTTPException):
    """Raised by a service to refuse a request: `Refused(409, "that slot is taken")`.

    The code is a 4xx, or 501 for what is not built yet. The message is in the answer, so it must
    hold no secret: `{"code":409,"status":"Conflict","message":"that slot is taken"}`.
    """

    def __init__(self, code: int, message: str) -> None:
        if not 400 <= code <= 499 and code != 501:
            raise ValueError(f"a service refuses with 4xx or 501, not with {code}")
        super().__init__(message)
        self.code = code


def smoke_check(requirements: tuple[str, ...], holds: Callable[[], None]) -> Callable[[], None]:
    """The smoke check of a feature: it runs `holds`, which runs the service.

    While requirements are open it warns instead, and runs nothing.
    """

    def run() -> None:
        if requirements:
            raise CheckWarns(f"{count_open(requirements)}: {'; '.join(requirements)}")
        holds()

    return run


def count_open(requirements: Sequence[str]) -> str:
    """`2 requirements are open`."""
    verb = "is" if len(requirements) == 1 else "are"
    return f"{counted(len(requirements), 'requirement')} {verb} open"


class _Parser(FlaskParser):
    DEFAULT_UNKNOWN_BY_LOCATION = {"json": RAISE, "query": RAISE}  # noqa: RUF012

    def load_json(self, req: Request, schema: Any) -> Any:
        """webargs itself reads any other content type as `{}`, and fails on deep nesting."""
        try:
            return req.get_json()
        except (BadRequest, RecursionError):
            raise BadRequest("The body is not valid JSON.") from None

    def handle_error(self, error: ValidationError, *request: Any, **options: Any) -> NoReturn:
        error.messages = _bounded(error.messages, MAX_ERRORS)
        super().handle_error(error, *request, **options)


def _bounded(messages: Any, limit: int) -> Any:
    if not isinstance(messages, dict):
        return messages[:limit]
    kept = list(messages.items())[:limit]
    return {_key(key): _bounded(below, max(1, limit // len(kept))) for key, below in kept}


def _key(key: Any) -> Any:
    return one_line(key, 100) if isinstance(key, str) else key  # an index is a number


class Blueprint(DocumentedBlueprint):
    """A feature's blueprint, which is its tag in the OpenAPI document.

    A view's docstring is its summary, an empty line, its description. A body that is no JSON is a
    400, one of another content type a 415.
    """

    ARGUMENTS_PARSER = _Parser()
    DOCSTRING_INFO_DELIMITER = None  # otherwise a line `---` would end the description

    def refuses(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """Documents that the view's service may raise `Refused`."""
        documented = self.alt_response(501, "NOT_IMPLEMENTED")(view)
        refusing: Callable[..., Any] = self.alt_response("4XX", "DEFAULT_ERROR")(documented)
        return refusing


class _Exact(Field[Any]):
    """A field that takes its own type of JSON only: marshmallow reads `"3"` as 3, and 1 as true."""

    JSON: ClassVar[tuple[type, ...]]

    def _deserialize(self, value: Any, *place: Any, **options: Any) -> Any:
        if type(value) not in self.JSON:
            raise self.make_error("invalid")
        return super()._deserialize(value, *place, **options)


class ExactInteger(_Exact, Integer):
    """An integer that is one in JSON, too: `7`, and as JSON Schema has it `7.0`."""

    JSON = (int, float)

    def _validated(self, value: Any) -> int:
        if isinstance(value, float) and not value.is_integer():
            raise self.make_error("invalid")
        return super()._validated(value)


class ExactFloat(_Exact, Float):
    """A number that is one in JSON, too."""

    JSON = (int, float)


class ExactBoolean(_Exact, Boolean):
    """A boolean that is one in JSON, too."""

    JSON = (bool,)


class ExactDecimal(_Exact, DecimalField):
    """A decimal number, a string over the wire: at most 28 digits before and after the point.

    marshmallow takes an exponent too, and would write a thousand million digits for `1e999999999`.
    """

    JSON = (str,)
    PATTERN = "^-?[0-9]{1,28}([.][0-9]{1,28})?$"

    def __init__(self, **options: Any) -> None:
        metadata = {"pattern": self.PATTERN, **options.pop("metadata", {})}
        super().__init__(as_string=True, metadata=metadata, **options)

    def _validated(self, value: Any) -> Decimal:
        if not re.fullmatch(self.PATTERN, value):
            raise self.make_error("invalid")
        return super()._validated(value)
