"""Dependencies: a URL becomes a check.

The text after a stray `#`, `?` or `@` in a URL is a piece of somebody's password, and the text in
the place of a scheme or an option may be one. So no message repeats any of them.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from itertools import count, starmap
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

from marshmallow import ValidationError, fields

from petsage.checks import NAME, PROBES, Check
from petsage.dependencies import databases
from petsage.dependencies import network as driverless
from petsage.dependencies.password_file import password_in
from petsage.dependencies.schemes import Location, Run, Scheme, option, read_pairs, scheme_of
from petsage.dependencies.scrubbing import scrubbed, secrets_of
from petsage.smoke_test import SMOKE_TEST

SCHEMES: Mapping[str, Scheme] = {**databases.SCHEMES, **driverless.SCHEMES}
"""PetSage's own schemes."""

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^#]*)(?:#(?P<fragment>.*))?")
_ENCODED = "with special characters percent-encoded, as %40 for @"
_PORTS = range(1, 65536)
_HINTS = (
    (r"^([\w.-]*=)?[\"'“”]", "begins with a quote, and quotes have no meaning here"),
    (r",([\w.-]+=[A-Za-z0-9+.-]+://|$)", "checks are separated by white space, not by commas"),
)
# RFC 3986, 2: ASCII only, and two hex digits follow a %. No driver accepts a NUL.
_NOT_ENCODED = re.compile(r"[^!-~]|%(?![0-9A-Fa-f]{2})|%00")


def _seconds(least: float, most: float, default: float) -> fields.Field[Any]:
    def parse(text: str) -> float:
        if not least <= float(text) <= most:
            raise ValueError
        return float(text)

    return option("[0-9.]+", parse, f"a number of seconds from {least} to {most}", default)


_PROBES = f"(?:{'|'.join(PROBES)})"

OPTIONS: Mapping[str, fields.Field[Any]] = {
    "timeout": _seconds(0.001, 3600, 2),
    "fresh": _seconds(0, 86400, 5),
    "stale": _seconds(1, 86400, 30),  # at 0, no result would be young enough for its own report
    "critical": option("yes|no", "yes".__eq__, "yes or no", True),
    "probes": option(
        f"{_PROBES}(?:,{_PROBES})*",
        lambda text: frozenset(text.split(",")),
        f"some of {', '.join(PROBES)}, with commas",
        frozenset({"ready", "smoke"}),
    ),
}
"""The options that every scheme has, each with what it must be and its default."""

_PASSWORD_FILE = {"password-file": option(r"/[^\0]*", Path, "an absolute path")}
"""The option of each scheme whose URLs may have a password."""


def declared_checks(text: str) -> tuple[Check, ...]:
    """The checks that `PETSAGE_CHECKS` declares: whitespace-separated `name=URL`.

    Raises `marshmallow.ValidationError` with a line for each problem, none with a piece of a URL.
    """
    entries = enumerate(text.removeprefix("\ufeff").split(), 1)
    checks = _all(starmap(_entry, entries))
    names = Counter([SMOKE_TEST, *(check.name for check in checks)])
    if twice := [name for name, times in names.items() if times > 1]:
        raise ValidationError([f"check {name!r}: the name is taken" for name in twice])
    return tuple(checks)


def checks_from_urls(urls: Iterable[str]) -> tuple[Check, ...]:
    """The checks that these URLs declare. Each is named after its scheme, host and port; `-2`, `-3`
    and so on tell those of the same name apart.

    Raises `marshmallow.ValidationError` with a line for each problem, none with a piece of a URL.
    """
    named: dict[str, Check] = {}
    numbered = enumerate(urls, 1)
    for check in _all((f"URL {number}", partial(_check, url, "")) for number, url in numbered):
        others = (f"{check.name}-{number}" for number in count(2))
        name = check.name if check.name not in named else next(n for n in others if n not in named)
        named[name] = replace(check, name=name)
    return tuple(named.values())


def _all(labelled: Iterable[tuple[str, Callable[[], Check]]]) -> list[Check]:
    """The checks that all of these make. Raises all their problems, each behind its label."""
    checks: list[Check] = []
    problems: list[str] = []
    for label, make in labelled:
        try:
            checks.append(make())
        except ValidationError as error:
            problems += [f"{label}: {problem}" for problem in error.messages]
    if problems:
        raise ValidationError(problems)
    return checks


def _entry(number: int, entry: str) -> tuple[str, Callable[[], Check]]:
    """The label of an entry, and what makes its check."""
    name, _, url = entry.partition("=")
    problems = [hint for pattern, hint in _HINTS if re.search(pattern, entry)]
    # The text before the = is a name only if a URL follows; otherwise it may be a piece of a URL.
    if not (NAME.fullmatch(name) and _URL.fullmatch(url)):
        problems.append(f"must be name=scheme://..., {_ENCODED}")
    if problems:
        return f"entry {number}", partial(_refuse, problems[0])
    return f"check {name!r}", partial(_check, url, name)


def _refuse(problem: str) -> NoReturn:
    raise ValidationError(problem)


def _check(url: str, name: str) -> Check:
    if not (match := _URL.fullmatch(url)):
        raise ValidationError(f"must be scheme://..., {_ENCODED}")
    word, rest, fragment = match["scheme"].lower(), match["rest"], match["fragment"] or ""
    scheme = scheme_of(word, SCHEMES)
    place = _place(scheme, rest, fragment)
    known = {**OPTIONS, **scheme.options}
    known |= _PASSWORD_FILE if "(?P<password>" in scheme.pattern else {}
    options = read_pairs(fragment, known, "option", *scheme.problems())
    own = {option: options[option] for option in scheme.options}
    location = Location(word, *place, options["timeout"], own)
    name = name or _name(location)
    run = _run(scheme, location, options.get("password-file"))
    timeout, fresh, stale = (options[option] for option in ("timeout", "fresh", "stale"))
    try:
        return Check(
            name, run, options["probes"], timeout, fresh, stale, options["critical"], external=True
        )
    except ValueError as error:  # the check's own message, which begins with its name
        raise ValidationError(str(error).removeprefix(f"check {name!r}: ")) from None


def _place(scheme: Scheme, rest: str, fragment: str) -> tuple[str, int, str, str, str, str]:
    """The host, port, user, password, path and query of a `Location`."""
    match = re.fullmatch(scheme.pattern, rest)
    part = defaultdict(str, match.groupdict("") if match else {})
    # The fragment may have no @, which would belong to a password with a # that is not encoded.
    encoded = not _NOT_ENCODED.search(rest) and re.fullmatch(r"[!-?A-~]*", fragment)
    is_text = "\ufffd" not in unquote(rest)  # which replaces what is not UTF-8
    if not (match and encoded and is_text and int(part["port"] or 1) in _PORTS):
        raise ValidationError(f"must be of the form {scheme.form}, {_ENCODED}")
    host = re.sub(r"^\[([^,]*)\]$", r"\1", part["host"])
    login = unquote(part["user"]), unquote(part["password"])
    return host, int(part["port"] or scheme.port), *login, part["path"], part["query"]


def _run(scheme: Scheme, location: Location, file: Path | None) -> Run:
    """The run that asks this location, with the password of the file if there is one."""

    @lru_cache(maxsize=1)  # a run may hold what is expensive to make, such as a TLS context
    def run_with(password: str) -> Run:
        secrets = secrets_of(location.user, password, location.query)
        return scrubbed(scheme.run_at(replace(location, password=password)), secrets)

    run = run_with(location.password)
    if file is None:
        return run
    if location.password or "password" in dict(parse_qsl(location.query, True)):
        raise ValidationError("password-file: the URL itself has a password")
    return scrubbed(lambda: run_with(password_in(file))(), secrets_of("", "", ""))


def _name(location: Location) -> str:
    words = (location.scheme, location.host, str(location.port or "") if location.host else "")
    return re.sub(r"[^A-Za-z0-9_.]+", "-", "-".join(filter(None, words)))[:60].rstrip("-")
