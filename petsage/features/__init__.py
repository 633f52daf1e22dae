"""The features of the v1 API, a folder each, and what they have in common."""

from decimal import Decimal
from typing import Any

from flask import Request
from flask_smorest import Blueprint as DocumentedBlueprint
from marshmallow.fields import Decimal as DecimalField
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest

# A feature becomes an attribute of this package, whose name is in lower case: no name here may be.


class _JsonParser(FlaskParser):
    def load_json(self, req: Request, schema: Any) -> Any:
        """webargs alone takes another content type for `{}`, and answers 500 to deep nesting."""
        try:
            return req.get_json()
        except (BadRequest, RecursionError):
            raise BadRequest("The body is not valid JSON.") from None


class Blueprint(DocumentedBlueprint):
    """A feature's blueprint, which is its tag in the OpenAPI document.

    A view's docstring is its summary, an empty line, its description. A body that is no JSON is a
    400, one of another content type a 415.
    """

    ARGUMENTS_PARSER = _JsonParser()
    DOCSTRING_INFO_DELIMITER = None  # or else a line `---` would end it


class ExactDecimal(DecimalField):
    """A decimal number, a string over the wire: at most 28 digits before and after the point.

    marshmallow writes every digit out, and `1e999999999` has a thousand million of them.
    """

    DIGITS = 28

    def __init__(self, **options: Any) -> None:
        super().__init__(as_string=True, **options)

    def _validated(self, value: Any) -> Decimal:
        number = super()._validated(value)
        exponent = number.as_tuple().exponent
        if number.adjusted() >= self.DIGITS or int(exponent) < -self.DIGITS:
            raise self.make_error("invalid")
        return number
