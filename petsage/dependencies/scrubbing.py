"""What a driver says of a dependency, without the secrets of its URL."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from petsage.checks import CheckFailed
from petsage.dependencies.schemes import Run


@dataclass(frozen=True, slots=True, repr=False)
class Scrubbed:
    """Asks a dependency, and tells what is wrong without the URL's secrets."""

    ask: Run
    secrets: re.Pattern[str]

    def __call__(self) -> None:
        try:
            self.ask()
        except Exception as error:
            reason = " ".join(self.secrets.sub("***", _words(error)).split())
        else:
            return
        # Raised out here, the driver's exception is no part of it: that one may hold the URL.
        raise CheckFailed(reason)


def _words(error: Exception) -> str:
    """A driver's message without its wrappings, or the exception's name if it has none."""
    error = getattr(error, "orig", None) or error  # SQLAlchemy wraps, and adds a link
    texts = [getattr(error, "verify_message", None), getattr(error, "strerror", None)]
    texts += [text for text in reversed(error.args) if isinstance(text, str)]
    return next(filter(None, texts), type(error).__name__)


def secrets_of(parts: Mapping[str, str]) -> re.Pattern[str]:
    """A pattern of every form in which a driver may print the secrets of a URL of these parts: the
    password, or a user name without one, since that is a token; the query's longer values."""
    user, password = parts.get("user", ""), parts.get("password", "")
    values = [pair.rpartition("=")[2] for pair in parts.get("query", "").split("&")]
    found = {password or user, *(value for value in values if len(value) > 3)}
    forms = {form for secret in found for form in _forms(secret)}
    if password:
        forms.add(b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())
    longest_first = sorted(forms - {""}, key=len, reverse=True)
    return re.compile("|".join(map(_finds, longest_first)) or r"(?!)", re.IGNORECASE)


def _finds(form: str) -> str:
    # Cut out of the middle of words, a short one would be told by the gaps it leaves.
    return re.escape(form) if len(form) > 3 else rf"(?<!\w){re.escape(form)}(?!\w)"


def _forms(secret: str) -> Iterator[str]:
    plain = unquote(secret)
    yield from (secret, plain, unquote_plus(secret))
    yield from (quote(plain), quote(plain, safe=""), quote_plus(plain))
    yield from (repr(plain)[1:-1], ascii(plain)[1:-1], json.dumps(plain)[1:-1])
    yield from (repr(plain.encode())[2:-1], plain.replace("'", "''"))
    yield plain.replace("\\", "\\\\").replace("'", "\\'")
