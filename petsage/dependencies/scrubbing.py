"""A driver's error message, without the secrets of the URL."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from petsage.checks import CheckFailed, CheckWarns, Value
from petsage.dependencies.schemes import Run

# The line of CPython's source that raised the error, as in "[SSL] … (_ssl.c:1006)".
_SOURCE_LINE = re.compile(r" ?\(_\w+\.c:\d+\)|_\w+\.c:\d+: ")
# Values of libpq's and PyMySQL's parameters: "SSL was required" must not become "SSL was ***d".
_NO_SECRETS = re.compile(
    r"allow|any|direct|disable|false|postgres|prefer|prefer-standby|primary|random|read-only"
    r"|read-write|require|standby|system|true|utf8|utf8mb4|verify-ca|verify-full"
)


def scrubbed(run: Run, secrets: re.Pattern[str]) -> Run:
    """A run whose errors become `CheckFailed` or `CheckWarns`, without these secrets."""

    def scrubbed_run() -> object:
        try:
            return run()
        except Exception as error:
            reason = " ".join(secrets.sub("***", _message(error)).split())
            kind = CheckWarns if isinstance(error, CheckWarns) else CheckFailed
            value = Value.of(getattr(error, "value", None))
        # Raised out here, it has no context: that would be the driver's exception, with the URL.
        raise kind(reason, value=value)

    return scrubbed_run


def _message(error: Exception) -> str:
    """A driver's message without code numbers, or the exception's name if it has none."""
    texts = [getattr(error, "verify_message", None), getattr(error, "strerror", None)]
    texts += [text for text in reversed(error.args) if isinstance(text, str)]
    return _SOURCE_LINE.sub("", next(filter(None, texts), type(error).__name__))


def secrets_of(user: str, password: str, query: str) -> re.Pattern[str]:
    """A pattern of every form in which a driver may print the secrets of a URL with these parts.
    `query` is percent-encoded, as in the URL.

    Secrets are the password; the user name if there is no password, or if it is longer than 15
    characters, as a token is; and each value of the query that is longer than three characters and
    is no known word.
    """
    login = b64encode(f"{user}:{password}".encode()).decode()
    names = {password or user, user if len(user) > 15 else ""}
    secrets = {*(quote(name, safe="") for name in names), *_values(query)}
    forms = {form for secret in secrets for form in _forms(secret)} - {""}
    forms |= {login, login.rstrip("=")} if user or password else set()
    return re.compile(
        "|".join(map(_pattern, sorted(forms, key=len, reverse=True))) or r"(?!)", re.IGNORECASE
    )


def _values(query: str) -> Iterator[str]:
    """Each value of the query, and each piece of one that has an `=` in it."""
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        for piece in (value or name, *value.split("=")):
            if len(piece) > 3 and not _NO_SECRETS.fullmatch(piece):
                yield piece


def _pattern(form: str) -> str:
    # A short secret is replaced only as a whole word: inside words the gap would reveal it.
    return re.escape(form) if len(form) > 3 else rf"(?<!\w){re.escape(form)}(?!\w)"


def _forms(secret: str) -> Iterator[str]:
    yield from (secret, unquote_plus(secret))
    whole = unquote(secret)
    # Drivers strip their messages, and some print only one line.
    for plain in {whole, whole.strip(), *whole.splitlines()}:
        yield from (plain, quote(plain), quote(plain, safe=""), quote_plus(plain))
        yield from (repr(plain)[1:-1], ascii(plain)[1:-1], json.dumps(plain)[1:-1])
        yield from (repr(plain.encode())[2:-1], plain.replace("'", "''"))
        yield plain.replace("\\", "\\\\").replace("'", "\\'")
