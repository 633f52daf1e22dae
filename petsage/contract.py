"""What an answer must be, and how it is not: `petsage.client` asks, and this judges."""

import enum
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from petsage.checks import SMOKE_TEST
from petsage.client import MAX_BODY_BYTES, Answer
from petsage.json_text import read_json
from petsage.printable import ascii_line


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """What the smoke test answers."""

    status: str
    message: str
    feature: str
    failed: tuple[str, ...] = ()
    """The names of the failing checks; empty when all is well."""


SUCCESS = SmokeTest("ok", "PetSage Smoke Test: Success!", SMOKE_TEST)
FAILURE = SmokeTest("error", "PetSage Smoke Test: Failed!", SMOKE_TEST)


class Kind(enum.IntEnum):
    """How a rollout ends, and what kind a breach is of. The value is the exit code."""

    PROVEN = 0
    WRONG = 1
    """It answered, but not as the contract has it."""
    UNREACHED = 3
    """No valid connection, or no whole answer."""
    RELEASE = 4
    """A wrong release, or more than one."""
    INCONCLUSIVE = 5
    """Fewer instances, or fewer good rounds, than were asked for."""
    INTERRUPTED = 130


# The order in which the command's exit codes are documented.
_ORDER = (Kind.INTERRUPTED, Kind.WRONG, Kind.RELEASE, Kind.UNREACHED, Kind.INCONCLUSIVE)


def gravest(kinds: Collection[Kind]) -> Kind:
    """The one of several that decides the exit code; of none, `Kind.PROVEN`."""
    return next((kind for kind in _ORDER if kind in kinds), Kind.PROVEN)


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
"""A part of a contract: how an answer breaks it, or None."""

_RETRYABLE = (404, 408, 425, 429)  # not there yet, too slow, too early, too many; and every 5xx


def first_breach(answer: Answer, contract: Iterable[Expectation]) -> Breach | None:
    """How an answer first breaks a contract, in the order of its parts."""
    return next((breach for part in contract if (breach := part(answer))), None)


def wrong(where: str, expected: str, seen: str, retryable: bool = False) -> Breach:
    """What was answered is not what was expected."""
    return Breach(Kind.WRONG, where, expected, seen, retryable)


def _status(answer: Answer) -> Breach | None:
    status = answer.status
    if status == 200:
        return None
    seen = str(status)
    if 300 <= status < 400:
        seen += f" to {ascii_line(answer.headers.get('location', 'nowhere'))}"
    elif status == 503 and (failed := _failed(answer.body)):
        seen += f" (failed: {ascii_line(failed)})"
    return wrong("status", "200", seen, status >= 500 or status in _RETRYABLE)


def _failed(body: bytes) -> str:
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
    if len(answer.body) > MAX_BODY_BYTES:
        return wrong("body", f"at most {MAX_BODY_BYTES} bytes", "more")
    try:
        data = read_json(answer.body)
    except ValueError as error:
        start = ascii_line(answer.body.decode("latin-1"), 60)
        return wrong("body", "JSON", f"{ascii_line(error)}: {start}")
    if not isinstance(data, dict):
        return wrong("body", "an object", _printed(data))
    wanted = _members(SUCCESS)
    keys = [key for key in sorted(wanted.keys() | data.keys()) if not _same(key, wanted, data)]
    return wrong("body", _listed(wanted, keys), _listed(data, keys)) if keys else None


SMOKE_TEST_CONTRACT: tuple[Expectation, ...] = (_status, _content_type, _body)
"""What PetSage's smoke test answers when all is well."""


def _members(result: SmokeTest) -> dict[str, Any]:
    members = asdict(result)
    del members["failed"]
    return members


def _same(key: str, one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return key in one and key in other and one[key] == other[key]


def _listed(data: Mapping[str, object], keys: list[str]) -> str:
    listed = (f"{key}={_printed(data[key])}" if key in data else f"no {key}" for key in keys[:5])
    return ascii_line(", ".join(listed))


def _printed(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return ascii_line(json.dumps(value, ensure_ascii=False))
