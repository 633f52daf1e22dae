"""What an answer must be, and how it is not: `petsage.client` asks, and this judges."""

import enum
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from petsage.client import MAX_ANSWER_BYTES, Answer
from petsage.errors import nearest
from petsage.json_text import read_json
from petsage.printable import ascii_line
from petsage.smoke_test import FAILURE, SUCCESS, SmokeTest


class Kind(enum.IntEnum):
    """How a rollout ends, and which end a breach leads to, the gravest first. The value is the exit
    code."""

    INTERRUPTED = 130
    TERMINATED = 143
    """SIGTERM ended it."""
    WRONG = 1
    """It answered, but not as the contract has it."""
    RELEASE = 4
    """A wrong release, or more than one."""
    UNREACHED = 3
    """No valid connection, or no whole answer."""
    INCONCLUSIVE = 5
    """Fewer instances, or fewer good rounds, than were asked for."""
    PROVEN = 0


def gravest(kinds: Collection[Kind]) -> Kind:
    """The kind that decides the exit code; `Kind.PROVEN` if there is none."""
    return next((kind for kind in Kind if kind in kinds), Kind.PROVEN)


@dataclass(frozen=True, slots=True)
class Breach:
    """How something is not as it must be. Its text is one line of printable ASCII."""

    kind: Kind
    where: str
    expected: str
    seen: str
    retryable: bool
    """Whether waiting can mend it."""

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, saw {self.seen}"


Expectation = Callable[[Answer], Breach | None]
"""A part of a contract. It returns how an answer breaks it, or None."""

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header (RFC 9110, 5.6.2)."""

_POINTER = re.compile(r"(/([^~/]|~[01])*)*")
EXPECTATION_FORMS = "status=200-299, json:/POINTER=VALUE, header:NAME=VALUE or body=TEXT"
_RETRYABLE = (404, 408, 425, 429)  # not there yet, too slow, too early, too many; and every 5xx


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value stands in an answer."""

    kind: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Reads `header:NAME`, `json:/POINTER` (RFC 6901) or `body`, which is the whole of it.

        Raises `ValueError`, which says what would be right.
        """
        kind, _, name = text.partition(":")
        if kind == "header" and TOKEN.fullmatch(name):
            return cls(kind, name.lower())
        if text == "body" or (kind == "json" and _POINTER.fullmatch(name)):
            return cls(kind, name)
        raise ValueError("must be header:NAME, json:/POINTER (RFC 6901) or body")

    def __str__(self) -> str:
        return ascii_line(f"{self.kind}:{self.name}" if self.name else self.kind)

    def value(self, answer: Answer) -> object:
        """Raises `LookupError` if it is not there, `ValueError` if the body is no JSON."""
        if self.kind == "header":
            return answer.headers[self.name].strip()
        if self.kind == "body":
            return answer.body.decode(errors="replace").strip()
        return _at_pointer(read_json(answer.body), self.name)

    def text(self, answer: Answer) -> str:
        """One line of printable ASCII; empty if there is none."""
        try:
            value = self.value(answer)
        except (LookupError, ValueError):
            return ""
        return _plain(value)


def _at_pointer(document: Any, pointer: str) -> object:
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", key):
            document = document[int(key)]
        elif isinstance(document, dict):
            document = document[key]
        else:
            raise LookupError(key)
    return document


def expectation(text: str) -> Expectation:
    """Reads one part of a contract. Raises `ValueError`, which says what would be right."""
    place, equals, wanted = text.partition("=")
    if not equals:
        raise ValueError(f"must be {EXPECTATION_FORMS}")
    if place == "status":
        return partial(_status, _statuses(wanted))
    if place == "body":
        return partial(_contains, wanted)
    if (kind := place.partition(":")[0]) not in ("json", "header"):
        raise ValueError(f"unknown{nearest(kind, ('status', 'json', 'header', 'body'))}")
    return partial(_equals, Source.parse(place), wanted)


def expectations(texts: Iterable[str]) -> tuple[Expectation, ...]:
    """A contract of several parts. Unless one is about the status, it must be 200 to 299."""
    texts = sorted(texts, key=lambda text: not text.startswith("status="))
    if texts and not texts[0].startswith("status="):
        texts.insert(0, "status=200-299")
    return tuple(map(expectation, texts))


def _statuses(text: str) -> range:
    """Reads a status or a range of them. Raises `ValueError`."""
    match = re.fullmatch(r"([1-5]\d\d)(?:-([1-5]\d\d))?", text, re.ASCII)
    allowed = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
    if not allowed:
        raise ValueError("a status must be from 100 to 599, as in status=200 or status=200-299")
    return allowed


def first_breach(answer: Answer, contract: Iterable[Expectation]) -> Breach | None:
    """How an answer first breaks a contract, in the order of its parts."""
    return next((breach for part in contract if (breach := part(answer))), None)


def wrong(where: str, expected: str, seen: str, retryable: bool = False) -> Breach:
    """A breach: what was answered is not what was expected."""
    return Breach(Kind.WRONG, where, expected, seen, retryable)


def _status(allowed: range, answer: Answer) -> Breach | None:
    status = answer.status
    if status in allowed:
        return None
    expected, seen = "-".join(str(end) for end in sorted({allowed[0], allowed[-1]})), str(status)
    if 300 <= status < 400:
        seen += f" to {ascii_line(answer.headers.get('location', 'nowhere'))}"
    elif status == 503 and (failed := _failed_checks(answer.body)):
        seen += f" (failed: {ascii_line(failed)})"
    return wrong("status", expected, seen, status >= 500 or status in _RETRYABLE)


def _contains(wanted: str, answer: Answer) -> Breach | None:
    if wanted.encode(errors="surrogateescape") in answer.body:
        return None
    seen = ascii_line(answer.body.decode("latin-1"), 60)
    differs = wrong("body", ascii_line(wanted), seen or "nothing", retryable=True)
    return _too_long(answer) or differs


def _equals(source: Source, wanted: str, answer: Answer) -> Breach | None:
    """Compares a text as it is, any other value as JSON. A breach is retryable: values change."""
    try:
        value = source.value(answer)
        if value == wanted if isinstance(value, str) else _is_json(value, wanted):
            return None
        seen = _plain(value)
    except LookupError:
        seen = "none"
    except ValueError as error:
        seen = f"no JSON: {ascii_line(error)}"
    too_long = _too_long(answer) if source.kind == "json" else None
    return too_long or wrong(str(source), ascii_line(wanted), seen, retryable=True)


def _is_json(value: object, wanted: str) -> bool:
    try:
        other = read_json(wanted.encode())
    except ValueError:
        return False
    # In Python, but not in JSON, True equals 1.
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _failed_checks(body: bytes) -> str:
    """The names of the failing checks in the body of a failed smoke test, if it is one."""
    try:
        data = read_json(body)
    except ValueError:
        return ""
    names = data.pop("failed", None) if isinstance(data, dict) else None
    if not isinstance(names, list) or data != _members(FAILURE):
        return ""
    return ", ".join(names) if all(isinstance(name, str) for name in names) else ""


def _content_type(answer: Answer) -> Breach | None:
    seen = answer.headers.get("content-type", "nothing")
    if seen.partition(";")[0].strip().lower() == "application/json":
        return None
    return wrong("content type", "application/json", ascii_line(seen))


def _body(answer: Answer) -> Breach | None:
    try:
        data = read_json(answer.body)
    except ValueError as error:
        start = ascii_line(answer.body.decode("latin-1"), 60)
        return wrong("body", "JSON", f"{ascii_line(error)}: {start}")
    if not isinstance(data, dict):
        return wrong("body", "an object", _printed(data))
    wanted = _members(SUCCESS)
    keys = [key for key in sorted(wanted | data) if wanted.get(key, ...) != data.get(key, ...)]
    return wrong("body", _listed(wanted, keys), _listed(data, keys)) if keys else None


def _too_long(answer: Answer) -> Breach | None:
    if len(answer.body) <= MAX_ANSWER_BYTES:
        return None
    return wrong("body", f"at most {MAX_ANSWER_BYTES} bytes", "more")


@dataclass(frozen=True, slots=True)
class Contract:
    """What an answer must be, and where its release and its instance stand."""

    parts: tuple[Expectation, ...] = (expectation("status=200"), _content_type, _too_long, _body)
    release_from: Source = Source("header", "petsage-release")
    instance_from: Source = Source("header", "petsage-instance")


SMOKE_TEST_CONTRACT = Contract()
"""What PetSage's smoke test answers when all is well."""


def _members(result: SmokeTest) -> dict[str, Any]:
    members = asdict(result)
    del members["failed"]
    return members


def _listed(data: Mapping[str, object], keys: list[str]) -> str:
    listed = (f"{key}={_printed(data[key])}" if key in data else f"no {key}" for key in keys[:5])
    return ascii_line(", ".join(listed))


def _plain(value: object) -> str:
    return ascii_line(value) if isinstance(value, str) else _printed(value)


def _printed(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return ascii_line(json.dumps(value, ensure_ascii=False))
