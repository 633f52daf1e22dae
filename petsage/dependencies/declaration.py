"""Dependencies: a URL becomes a check.

The text after a stray `#`, `?` or `@` in a URL is a piece of somebody's password, and so may be the
text in the place of a scheme or of an option: no message repeats any of it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from petsage.checks import NAME, PROBES, SMOKE_TEST, Check
from petsage.dependencies import databases
from petsage.dependencies import network as driverless
from petsage.dependencies.password_file import with_password_of
from petsage.dependencies.schemes import Location, Option, Run, Scheme, load, provided
from petsage.dependencies.scrubbing import Scrubbed, secrets_of
from petsage.errors import nearest

SCHEMES: Mapping[str, Scheme] = {**databases.SCHEMES, **driverless.SCHEMES}
"""PetSage's own schemes."""

_DEFAULT_PROBES = frozenset({"ready", "smoke"})
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^#]*)(?:#(?P<fragment>.*))?")
_ENCODED = "with special characters percent-encoded, as %40 for @"
_PORTS = range(1, 65536)
_HINTS = (
    (r"^([\w.-]*=)?[\"'“”]", "begins with a quote, and quotes have no meaning here"),
    (r",([\w.-]+=[A-Za-z0-9+.-]+://|$)", "checks are separated by white space, not by commas"),
)
# RFC 3986, 2: ASCII only, and two hex digits follow a %. No driver accepts a NUL.
_NOT_ENCODED = re.compile(r"[^!-~]|%(?![0-9A-Fa-f]{2})|%00")


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not least <= float(text) <= most:  # nor is a NaN
            raise ValueError
        return float(text)

    return parse


def _probes(text: str) -> frozenset[str]:
    probes = frozenset(text.split(","))
    if not probes <= set(PROBES):
        raise ValueError
    return probes


def _file(text: str) -> Path:
    if not text.startswith("/") or "\0" in text:
        raise ValueError
    return Path(text)


OPTIONS: Mapping[str, fields.Field[Any]] = {
    "timeout": Option(_seconds(0.001, 3600), "a number of seconds from 0.001 to 3600", 2.0),
    "fresh": Option(_seconds(0, 86400), "a number of seconds from 0 to 86400", 5.0),
    # At 0, no result would be young enough for its own report.
    "stale": Option(_seconds(1, 86400), "a number of seconds from 1 to 86400", 30.0),
    "critical": Option({"yes": True, "no": False}.__getitem__, "yes or no", True),
    "probes": Option(_probes, f"some of {', '.join(PROBES)}, with commas", _DEFAULT_PROBES),
}
"""The options that every scheme has, each with what it must be and its default."""

_PASSWORD_FILE = {"password-file": Option(_file, "an absolute path", None)}
"""The option of each scheme whose URLs may have a password."""


def declared_checks(text: str) -> tuple[Check, ...]:
    """The checks that `PETSAGE_CHECKS` declares: whitespace-separated `name=URL`.

    Raises `marshmallow.ValidationError` with a line for each problem, none with a piece of a URL.
    """
    entries = enumerate(text.removeprefix("\ufeff").split(), 1)
    checks = _gather(partial(_declared, number, entry) for number, entry in entries)
    names = Counter([SMOKE_TEST, *(check.name for check in checks)])
    if twice := [name for name, times in names.items() if times > 1]:
        raise ValidationError([f"check {name!r}: the name is taken" for name in twice])
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
    named: dict[str, Check] = {}
    for check in checks:
        name, number = check.name, 1
        while name in named:
            number += 1
            name = f"{check.name}-{number}"
        named[name] = replace(check, name=name)
    return tuple(named.values())


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
    for pattern, hint in _HINTS:
        if re.search(pattern, entry):
            raise ValidationError([f"entry {number}: {hint}"])
    name, _, url = entry.partition("=")
    # The text before the = is a name only if a URL follows; otherwise it may be a piece of a URL.
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
    others = provided()
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
    """Every option's value, defaults included. A missing driver is one problem among the others."""
    known = {**OPTIONS, **scheme.options}
    known |= _PASSWORD_FILE if "(?P<password>" in scheme.pattern else {}
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
    location = Location(
        scheme=word,
        host=re.sub(r"^\[([^,]*)\]$", r"\1", parts.get("host", "")),
        port=int(parts.get("port") or scheme.port),
        user=unquote(parts.get("user", "")),
        password=unquote(parts.get("password", "")),
        path=parts.get("path", ""),
        query=parts.get("query", ""),
        timeout_seconds=options["timeout"],
        options={option: options[option] for option in scheme.options},
    )
    name = name or _name(location)
    run = _secret_run(scheme, location, parts, options.get("password-file"))
    try:
        return Check(
            name,
            run,
            probes=options["probes"],
            timeout_seconds=options["timeout"],
            fresh_seconds=options["fresh"],
            stale_seconds=options["stale"],
            critical=options["critical"],
            external=True,
        )
    except ValueError as error:  # the check's own message, which begins with its name
        raise ValidationError(str(error).removeprefix(f"check {name!r}: ")) from None


def _secret_run(
    scheme: Scheme, location: Location, parts: Mapping[str, str], file: Path | None
) -> Run:
    if file is None:
        return Scrubbed(_run(scheme, location), secrets_of(parts))
    if location.password:
        raise ValidationError("password-file: the URL itself has a password")

    def with_password(password: str) -> Run:
        secrets = secrets_of({**parts, "password": quote(password, safe="")})
        return Scrubbed(_run(scheme, replace(location, password=password)), secrets)

    return Scrubbed(with_password_of(file, with_password), secrets_of(parts))


def _run(scheme: Scheme, location: Location) -> Run:
    try:
        return scheme.make_run(location)
    except ValidationError:
        raise
    except Exception as error:  # another package's, so its message may hold anything
        raise ValidationError(f"is refused by its scheme ({type(error).__name__})") from None


def _name(location: Location) -> str:
    words = (location.scheme, location.host, str(location.port or "") if location.host else "")
    return re.sub(r"[^A-Za-z0-9_.]+", "-", "-".join(filter(None, words)))[:60].rstrip("-")
