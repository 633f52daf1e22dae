"""What an answer is worth: each function here judges, and none of them asks anybody."""

import enum
import json
import re
import socket
import ssl
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from http.client import IncompleteRead
from typing import Any

from marshmallow import Schema, ValidationError

from petsage.client import MAX_BODY_BYTES, Answer, NoAnswer
from petsage.health.schemas import SmokeTestFailureSchema, SmokeTestSchema
from petsage.health.service import SUCCESS
from petsage.json_text import read_json
from petsage.printable import ascii_line


class Kind(enum.IntEnum):
    """What comes out; the value is the exit code."""

    PROVEN = 0
    WRONG = 1
    """Answered, but not as the contract has it."""
    UNREACHED = 3
    """No valid connection, or no whole answer."""
    RELEASE = 4
    """A wrong release, or more than one."""
    INCONCLUSIVE = 5
    """Fewer instances seen, or fewer whole passes, than were asked for."""
    INTERRUPTED = 130


# Of several, the first of these; so have it the exit codes of the command line.
_ORDER = (Kind.INTERRUPTED, Kind.WRONG, Kind.RELEASE, Kind.UNREACHED, Kind.INCONCLUSIVE)


def first(kinds: Collection[Kind]) -> Kind:
    """The one of several that decides the exit code; of none, `Kind.PROVEN`."""
    return next((kind for kind in _ORDER if kind in kinds), Kind.PROVEN)


@dataclass(frozen=True, slots=True)
class Breach:
    """What is not as it should be. Its text is one line of printable ASCII, whoever sent it."""

    kind: Kind
    where: str
    expected: str
    seen: str
    heals: bool
    """Whether waiting can mend it."""

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, saw {self.seen}"


@dataclass(frozen=True, slots=True)
class Row:
    """What was found at one address of a target, or in all answers of a target together."""

    target: str
    address: str = ""
    """Empty if the target was not asked address by address, `EVERY` if it is about all."""
    breach: Breach | None = None
    status: int | None = None
    release: str = ""
    instance: str = ""
    seconds: float | None = None
    cut: bool = False
    """Whether no answer came yet, for want of time."""

    def __str__(self) -> str:
        if self.address == EVERY:
            return f"{self.target}, {EVERY}"
        return f"{self.target} at {self.address}" if self.address else self.target


EVERY = "all answers"
NONE_YET = Breach(Kind.UNREACHED, "time", "an answer", "none yet", heals=True)

_CONTRACT: dict[str, Any] = dict(SmokeTestSchema().dump(SUCCESS))
_SUCCESS = SmokeTestSchema()
_FAILURE = SmokeTestFailureSchema()

# Other than a 5xx: not there yet, too slow, too early, too many.
_HEALING = (404, 408, 425, 429)


def judge(answer: Answer, release: str = "", max_latency_seconds: float | None = None) -> Row:
    """An answer against the contract; the row names no target yet.

    The release is judged over all answers of a target: see `judge_releases`. Here it says only
    that what another release gets wrong may still heal.
    """
    breach = _status(answer) or _content_type(answer) or _body(answer.body)
    breach = breach or _latency(answer.seconds, max_latency_seconds)
    said = ascii_line(answer.headers.get("petsage-release", ""))
    if breach and release and said and said != ascii_line(release):
        breach = replace(breach, heals=True)
    instance = ascii_line(answer.headers.get("petsage-instance", ""))
    return Row("", "", breach, answer.status, said, instance, answer.seconds)


def _wrong(where: str, expected: str, seen: str, heals: bool = False) -> Breach:
    return Breach(Kind.WRONG, where, expected, seen, heals)


def _status(answer: Answer) -> Breach | None:
    status = answer.status
    if status == 200:
        return None
    seen = str(status)
    if 300 <= status < 400:
        seen += f" to {ascii_line(answer.headers.get('location', 'nowhere'))}"
    elif status == 503 and (failed := _failed(answer.body)):
        seen += f" (failed: {ascii_line(failed)})"
    return _wrong("status", "200", seen, status >= 500 or status in _HEALING)


def _failed(body: bytes) -> str:
    try:
        return ", ".join(_load(_FAILURE, read_json(body))["failed"])
    except (ValueError, ValidationError):
        return ""


def _content_type(answer: Answer) -> Breach | None:
    said = answer.headers.get("content-type", "nothing")
    if said.partition(";")[0].strip().lower() == "application/json":
        return None
    return _wrong("content type", "application/json", ascii_line(said))


def _body(body: bytes) -> Breach | None:
    if len(body) > MAX_BODY_BYTES:
        return _wrong("body", f"at most {MAX_BODY_BYTES} bytes", "more")
    try:
        data = read_json(body)
    except ValueError as error:
        return _wrong(
            "body", "JSON", f"{ascii_line(error)}: {ascii_line(body.decode('latin-1'), 60)}"
        )
    try:
        _load(_SUCCESS, data)
    except ValidationError as error:
        return _broken(data, sorted(error.messages_dict))
    return None


def _load(schema: Schema, data: object) -> Any:
    return schema.load(data)  # type: ignore[arg-type]  # what is no object is a ValidationError too


def _broken(data: object, keys: Sequence[str]) -> Breach:
    if not isinstance(data, dict):
        return _wrong("body", "an object", ascii_line(_value(data)))
    return _wrong("body", _members(_CONTRACT, keys), _members(data, keys))


def _members(data: Mapping[str, object], keys: Sequence[str]) -> str:
    told = (f"{k}={_value(data[k])}" if k in data else f"no {k}" for k in keys[:5])
    return ascii_line(", ".join(told))


def _value(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return json.dumps(value, ensure_ascii=False)


def _latency(seconds: float, at_most: float | None) -> Breach | None:
    if at_most is None or seconds <= at_most:
        return None
    return _wrong("latency", f"at most {at_most:g} s", f"{seconds:.3f} s", heals=True)


def judge_failure(error: NoAnswer, seconds: float) -> Row:
    """No answer, although there were so many seconds for it; the row names no target yet."""
    return Row("", "", _unanswered(error, seconds))


def _unanswered(error: NoAnswer, seconds: float) -> Breach:
    match error.__cause__:
        case None | TimeoutError():
            wanted, seen = f"an answer within {seconds:.3g} s", f"a time-out {error.step}"
            return Breach(Kind.UNREACHED, "time", wanted, seen, True)
        case ssl.SSLCertVerificationError() as cause:
            seen = ascii_line(cause.verify_message)
            return Breach(Kind.UNREACHED, "certificate", "a valid one", seen, False)
        case ssl.SSLError() as cause if not isinstance(cause, ssl.SSLEOFError):
            seen = f"{why(cause)} {error.step}"
            return Breach(Kind.UNREACHED, "TLS", "a connection", seen, False)
        case socket.gaierror() as cause:
            return Breach(Kind.UNREACHED, "name", "an address", ascii_line(cause.strerror), True)
        case OSError() as cause:
            seen = f"{why(cause)} {error.step}"
            return Breach(Kind.UNREACHED, "connection", "an answer", seen, True)
        case IncompleteRead():
            return Breach(Kind.UNREACHED, "connection", "a whole answer", "its end is cut", True)
        case cause:
            return _wrong("protocol", "HTTP", ascii_line(f"{type(cause).__name__}: {cause}"))


def why(error: OSError) -> str:
    """What the system says of an error, without the line of Python's own source."""
    return ascii_line(re.sub(r" \(_ssl\.c:\d+\)", "", str(error.strerror or error)))


def judge_releases(rows: Iterable[Row], release: str = "") -> Breach | None:
    """All answers of a target: each must carry `release`, or at least they must all carry one.

    An answer that carries none and is broken anyway may be a proxy's, which has none.
    """
    release = ascii_line(release)
    said: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.release or (row.status and not row.breach):
            said[row.release].append(_who(row))
    if said.keys() <= {release} or (not release and len(said) == 1):
        return None
    rarest_first = sorted(said.items(), key=lambda one: len(one[1]))
    seen = "; ".join(f"{name or 'none'} from {some(whose)}" for name, whose in rarest_first)
    return Breach(Kind.RELEASE, "release", release or "one", seen, True)


def _who(row: Row) -> str:
    names = [f"instance {row.instance}"] if row.instance else []
    return " at ".join([*names, row.address] if row.address else names) or "an answer"


def some(whose: Sequence[str]) -> str:
    """The first few of those who said something, each once, and how many more there are."""
    once = list(dict.fromkeys(whose))
    more = f" and {len(once) - 5} more" if len(once) > 5 else ""
    return ", ".join(once[:5]) + more


def standing(fresh: list[Row], old: list[Row]) -> list[Row]:
    """What is known of a target: where all answers are cut, those of the pass before stand."""
    if old and all(row.cut and not row.address for row in fresh):
        return old  # there was no time even for its name
    asked = {row.address for row in fresh}
    known = [row for row in fresh if not row.cut]
    for others in (old, fresh):
        missing = asked - {row.address for row in known}
        known += [row for row in others if row.address in missing]
    return known


def instances(rows: Iterable[Row]) -> set[str]:
    """Which instances have answered."""
    return {row.instance for row in rows if row.instance}


def judge_instances(rows: Collection[Row], wanted: int) -> Breach | None:
    """Whether the answers of a target come from `wanted` instances or more."""
    seen = len(instances(rows))
    if seen >= wanted:
        return None
    told = f"{seen} of {wanted} in {len(rows)} requests"
    return Breach(Kind.INCONCLUSIVE, "instances", str(wanted), told, True)
