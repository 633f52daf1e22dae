"""A driver's error message, without the secrets of the URL."""

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
    """A run whose errors become `CheckFailed`, without the URL's secrets."""

    run: Run
    secrets: re.Pattern[str]

    def __call__(self) -> None:
        try:
            self.run()
        except Exception as error:
            reason = " ".join(self.secrets.sub("***", _words(error)).split())
        else:
            return
        # Raised here, it has no context: the driver's exception may hold the URL.
        raise CheckFailed(reason)


def _words(error: Exception) -> str:
    """A driver's message without code numbers, or the exception's name if it has none."""
    texts = [getattr(error, "verify_message", None), getattr(error, "strerror", None)]
    texts += [text for text in reversed(error.args) if isinstance(text, str)]
    return next(filter(None, texts), type(error).__name__)


def secrets_of(parts: Mapping[str, str]) -> re.Pattern[str]:
    """A pattern of every form in which a driver may print the secrets of a URL with these parts.

    Secrets are the password, or the user name if there is no password, since that is a token; and
    each value of the query with more than three characters.
    """
    user, password = parts.get("user", ""), parts.get("password", "")
    values = [pair.rpartition("=")[2] for pair in parts.get("query", "").split("&")]
    found = {password or user, *(value for value in values if len(value) > 3)}
    forms = {form for secret in found for form in _forms(secret)}
    if password:
        forms.add(b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())
    longest_first = sorted(forms - {""}, key=len, reverse=True)
    return re.compile("|".join(map(_finds, longest_first)) or r"(?!)", re.IGNORECASE)


def _finds(form: str) -> str:
    # A short secret is replaced only as a whole word: inside words the gap would reveal it.
    return re.escape(form) if len(form) > 3 else rf"(?<!\w){re.escape(form)}(?!\w)"


def _forms(secret: str) -> Iterator[str]:
    plain = unquote(secret)
    yield from (secret, plain, unquote_plus(secret))
    yield from (quote(plain), quote(plain, safe=""), quote_plus(plain))
    yield from (repr(plain)[1:-1], ascii(plain)[1:-1], json.dumps(plain)[1:-1])
    yield from (repr(plain.encode())[2:-1], plain.replace("'", "''"))
    yield plain.replace("\\", "\\\\").replace("'", "\\'")
