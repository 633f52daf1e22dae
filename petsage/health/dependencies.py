"""Dependencies: a URL becomes a check.

What follows a stray `#`, `?` or `@` in a URL is a piece of somebody's password, and so may be what
stands where a scheme or an option should: no message repeats any of it.
"""

import difflib
import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from petsage.health import databases, driverless
from petsage.health.checks import NAME, PROBES, Check, CheckFailed
from petsage.health.schemes import Option, Scheme, Target, brought, load

SCHEMES: Mapping[str, Scheme] = {**databases.SCHEMES, **driverless.SCHEMES}
"""The schemes that PetSage brings."""

_DEFAULT_PROBES = frozenset({"ready", "smoke"})
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^#]*)(?:#(?P<fragment>.*))?")
_ENCODED = "with special characters percent-encoded, as %40 for @"
_PORTS = range(1, 65536)
# RFC 3986, 2: ASCII only, and a % begins two hex digits. No driver takes a NUL.
_NOT_ENCODED = re.compile(r"[^!-~]|%(?![0-9A-Fa-f]{2})|%00")


def _timeout(text: str) -> float:
    if not 0 < float(text) <= 3600:  # nor is a NaN
        raise ValueError
    return float(text)


def _fresh(text: str) -> float:
    if not 0 <= float(text) <= 86400:
        raise ValueError
    return float(text)


def _stale(text: str) -> float:
    if not 1 <= float(text) <= 86400:  # at 0, no result would be young enough for its own report
        raise ValueError
    return float(text)


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError
    return text == "yes"


def _probes(text: str) -> frozenset[str]:
    probes = frozenset(text.split(","))
    if not probes <= set(PROBES):
        raise ValueError
    return probes


OPTIONS: Mapping[str, fields.Field[Any]] = {
    "timeout": Option(_timeout, "a number of seconds above 0, 3600 at most", 2.0),
    "fresh": Option(_fresh, "a number of seconds from 0 to 86400", 5.0),
    "stale": Option(_stale, "a number of seconds from 1 to 86400", 30.0),
    "critical": Option(_yes, "yes or no", True),
    "probes": Option(_probes, f"some of {', '.join(PROBES)}, with commas", _DEFAULT_PROBES),
}
"""The options that every scheme has, each with what it must be and its default."""


def declared_checks(text: str) -> tuple[Check, ...]:
    """The checks that `PETSAGE_CHECKS` declares: whitespace-separated `name=URL`.

    Raises `marshmallow.ValidationError` with a line for each problem, none with a piece of a URL.
    """
    entries = enumerate(text.split(), 1)
    checks = _gather(partial(_declared, number, entry) for number, entry in entries)
    names = Counter(check.name for check in checks)
    if twice := [name for name, times in names.items() if times > 1]:
        raise ValidationError([f"check {name!r}: declared twice" for name in twice])
    return checks


def check_from_url(url: str, name: str | None = None) -> Check:
    """The check that a URL declares, named `name`, or else after its scheme, host and port.

    Raises `marshmallow.ValidationError` with a line for each problem, none with a piece of the URL.
    """
    return _check(url, name, f"check {name!r}" if name else "the URL")


def checks_from_urls(urls: Iterable[str]) -> tuple[Check, ...]:
    """The checks that these URLs declare. Each is named after its scheme, host and port; from the
    second of the same name on, `-2`, `-3` and so on are added.

    Raises `marshmallow.ValidationError` with a line for each problem, none with a piece of a URL.
    """
    numbered = enumerate(urls, 1)
    checks = _gather(partial(_check, url, None, f"URL {number}") for number, url in numbered)
    times: Counter[str] = Counter()
    named = []
    for check in checks:
        times[check.name] += 1
        suffix = f"-{times[check.name]}" if times[check.name] > 1 else ""
        named.append(replace(check, name=check.name + suffix))
    return tuple(named)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the known word most like `word`, to stand behind "unknown"; or all of them."""
    known = tuple(known)
    if match := difflib.get_close_matches(word, known, n=1):
        return f"; did you mean {match[0]}?"
    return f"; known are {', '.join(known)}"


def _gather(makers: Iterable[Callable[[], Check]]) -> tuple[Check, ...]:
    checks: list[Check] = []
    problems: list[str] = []
    for make in makers:
        try:
            checks.append(make())
        except ValidationError as error:
            problems += error.messages
    if problems:
        raise ValidationError(problems)
    return tuple(checks)


def _declared(number: int, entry: str) -> Check:
    name, _, url = entry.partition("=")
    # What stands before the = is a name only if a URL follows; else it may be a piece of one.
    if not (NAME.fullmatch(name) and _URL.fullmatch(url)):
        raise ValidationError([f"entry {number}: must be name=scheme://..., {_ENCODED}"])
    return _check(url, name, f"check {name!r}")


def _check(url: str, name: str | None, label: str) -> Check:
    """Raises `ValidationError` with a line for each problem, each behind `label`."""
    try:
        word, rest, fragment = _split(url)
        scheme = _scheme(word)
        parts = _parts(scheme, rest, fragment)
        options = _options(scheme, fragment)
        return _assembled(name, word, scheme, parts, options)
    except ValidationError as error:
        raise ValidationError([f"{label}: {problem}" for problem in error.messages]) from None


def _split(url: str) -> tuple[str, str, str]:
    found = _URL.fullmatch(url)
    if not found:
        raise ValidationError(f"must be scheme://..., {_ENCODED}")
    return found["scheme"].lower(), found["rest"], found["fragment"] or ""


def _scheme(word: str) -> Scheme:
    if scheme := SCHEMES.get(word):
        return scheme
    others = brought()
    if word not in others:
        raise ValidationError(f"unknown scheme{nearest(word, (*SCHEMES, *others))}")
    return load(word)


def _parts(scheme: Scheme, rest: str, fragment: str) -> dict[str, str]:
    """What the groups of the scheme's pattern hold, as it stands in the URL."""
    found = re.fullmatch(scheme.pattern, rest)
    encoded = not _NOT_ENCODED.search(rest) and re.fullmatch(r"[!-?A-~]*", fragment)
    parts = {key: text or "" for key, text in found.groupdict().items()} if found else {}
    if not (found and encoded and int(parts.get("port") or 1) in _PORTS and _decodes(rest)):
        raise ValidationError(f"must be of the form {scheme.form}, {_ENCODED}")
    return parts


def _decodes(text: str) -> bool:
    try:
        return bool(unquote(text, errors="strict"))
    except UnicodeDecodeError:
        return False


def _options(scheme: Scheme, fragment: str) -> dict[str, Any]:
    """Every option's value, defaults included. A missing driver is told beside what is wrong."""
    known = {**OPTIONS, **scheme.options}
    problems = [missing] if (missing := scheme.missing()) else []
    given: dict[str, str] = {}
    for piece in filter(None, fragment.split("&")):
        option, _, text = piece.partition("=")
        if option not in known:
            problems.append(f"unknown option{nearest(option, known)}")
        elif option in given:
            problems.append(f"{option} is given twice")
        given[option] = unquote(text)
    try:
        options: dict[str, Any] = Schema.from_dict(known)(unknown=EXCLUDE).load(given)
    except ValidationError as error:
        for option, messages in error.messages_dict.items():
            problems += [f"{option} {message}" for message in messages]
    if problems:
        raise ValidationError(problems)
    return options


def _assembled(
    name: str | None, word: str, scheme: Scheme, parts: Mapping[str, str], options: dict[str, Any]
) -> Check:
    target = Target(
        scheme=word,
        host=parts.get("host", "").strip("[]"),
        port=int(parts.get("port") or scheme.port),
        user=unquote(parts.get("user", "")),
        password=unquote(parts.get("password", "")),
        path=parts.get("path", ""),
        query=parts.get("query", ""),
        timeout_seconds=options["timeout"],
        options={option: options[option] for option in scheme.options},
    )
    name = name or _name(target)
    try:
        return Check(
            name,
            _Told(scheme.bring(target), _secrets(parts)),
            options["probes"],
            options["timeout"],
            options["fresh"],
            options["stale"],
            options["critical"],
            external=True,
        )
    except ValueError as error:  # the check's own word, which names it
        raise ValidationError(str(error).removeprefix(f"check {name!r}: ")) from None


def _name(target: Target) -> str:
    words = (target.scheme, target.host, str(target.port or ""))
    return re.sub(r"[^A-Za-z0-9_.]+", "-", "-".join(filter(None, words)))[:60].rstrip("-")


@dataclass(frozen=True, slots=True, repr=False)
class _Told:
    """Asks a dependency, and tells what is wrong without the URL's secrets."""

    ask: Callable[[], object]
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


def _secrets(parts: Mapping[str, str]) -> re.Pattern[str]:
    """Finds every form in which a driver may print the URL's secrets: the password, or a user name
    without one, since that is a token; and the query's values, but for the shortest."""
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
