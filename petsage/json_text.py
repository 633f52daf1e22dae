"""JSON, written in one line and read strictly."""

import json
from datetime import datetime
from typing import Any


def json_line(data: Any) -> bytes:
    """Compact JSON in UTF-8, keys in the order given, with a newline at the end.

    A `datetime` is written as RFC 3339 has it, a lone surrogate as its escape. Raises `ValueError`
    for NaN and infinities.
    """
    text = json.dumps(
        data, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=datetime.isoformat
    )
    return text.encode(errors="backslashreplace") + b"\n"  # Python's \ud800 is JSON's too


def read_json(body: bytes) -> Any:
    """Reads exactly one JSON text in UTF-8 (RFC 8259), in which no key stands twice.

    Raises `ValueError`, whose message quotes at most the name of a constant.
    """
    try:
        return json.loads(
            body.decode(), object_pairs_hook=_no_key_twice, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key twice")
    return members


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
