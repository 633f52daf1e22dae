"""Judges answers: each function here is pure, and none of them sends a request."""

import re
import socket
import ssl
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from http.client import IncompleteRead

from petsage.client import Answer, NoAnswer, Target
from petsage.contract import Breach, Kind, Source, first_breach, wrong
from petsage.printable import LIMIT, ascii_line
from petsage.rollout.plan import RolloutPlan


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at one address of a target, or in all answers of a target together."""

    target: str
    address: str = ""
    """Empty if the target was not asked address by address; `EVERY` if the finding is about all
    answers together."""
    breach: Breach | None = None
    status: int | None = None
    release: str = ""
    instance: str = ""
    seconds: float | None = None
    """How long the answer took; or, if there is none, how long it was waited for."""
    pending: bool = False
    """Whether there is no answer because the rollout's time is up, or was not waited for yet."""
    seconds_ago: float | None = None
    """How old it is, if it comes from an earlier round."""

    def __str__(self) -> str:
        if self.address == EVERY:
            return f"{self.target}, {EVERY}"
        return f"{self.target} at {self.address}" if self.address else self.target


EVERY = "all answers"
NONE_YET = Breach(Kind.UNREACHED, "time", "an answer", "none yet", retryable=True)


def judge(plan: RolloutPlan, target: Target, address: str, answer: Answer) -> Finding:
    """Judges an answer of one of the target's addresses by the contract and the latency.

    The release is judged over all answers of a target, by `judge_releases`. Here it only decides
    that a breach of another release is retryable: that release may still be replaced.
    """
    contract = plan.contract
    breach = first_breach(answer, contract.parts)
    if not breach and answer.seconds > plan.max_latency_seconds:
        expected, seen = f"at most {plan.max_latency_seconds:g} s", f"{answer.seconds:.3f} s"
        breach = wrong("latency", expected, seen, retryable=True)
    carried, instance = (
        # The body of an answer with a breach may be an error page, and no name.
        "" if breach and source.kind == "body" else _text_at(source, answer)
        for source in (contract.release_from, contract.instance_from)
    )
    if breach and plan.release and carried and carried != ascii_line(plan.release):
        breach = replace(breach, retryable=True)
    breach = breach and _at_peer(breach, target, address, answer.address)
    return Finding(target.url, address, breach, answer.status, carried, instance, answer.seconds)


def _text_at(source: Source, answer: Answer) -> str:
    """The text at a source. One that is too long to be printed is shortened, and gets its
    checksum, so that two long names still differ."""
    text = source.text(answer)
    if len(text) < LIMIT:
        return text
    return f"{text} ({zlib.crc32(repr(source.value(answer)).encode()):08x})"


def judge_failure(target: Target, address: str, error: NoAnswer, seconds: float) -> Finding:
    """Judges a request that got no answer within `seconds`."""
    breach = _at_peer(_unanswered(error, seconds), target, address, error.address)
    return Finding(target.url, address, breach)


def _at_peer(breach: Breach, target: Target, address: str, peer: str) -> Breach:
    """The breach without secrets of the URL. It names the peer, if nothing else does."""
    seen = target.hidden(breach.seen)
    named = peer in ("", address, target.host)
    return replace(breach, seen=seen if named else f"{seen} at {peer}")


def _unanswered(error: NoAnswer, seconds: float) -> Breach:
    match error.__cause__:
        case None | TimeoutError():
            expected, seen = f"an answer within {seconds:.3g} s", f"a time-out {error.step}"
            return _unreached("time", expected, seen)
        case ssl.SSLCertVerificationError() as cause:
            seen = ascii_line(cause.verify_message)
            return _unreached("certificate", "a valid one", seen, retryable=False)
        case ssl.SSLError() as cause if not isinstance(cause, ssl.SSLEOFError):
            seen = f"{system_message(cause)} {error.step}"
            return _unreached("TLS", "a connection", seen, retryable=False)
        case socket.gaierror() as cause:
            return _unreached("name", "an address", ascii_line(cause.strerror))
        case OSError() as cause:
            return _unreached("connection", "an answer", f"{system_message(cause)} {error.step}")
        case IncompleteRead():
            return _unreached("connection", "a whole answer", "only a part of it")
        case cause:
            seen = ascii_line(f"{type(cause).__name__}: {cause}")
            return Breach(Kind.WRONG, "protocol", "HTTP", seen, retryable=False)


def _unreached(where: str, expected: str, seen: str, retryable: bool = True) -> Breach:
    return Breach(Kind.UNREACHED, where, expected, seen, retryable)


def system_message(error: OSError) -> str:
    """The system's words for an error, without the line of Python's own source."""
    return ascii_line(re.sub(r" \(_ssl\.c:\d+\)", "", str(error.strerror or error)))


def judge_releases(findings: Iterable[Finding], release: str = "") -> Breach | None:
    """Judges all answers of a target: each must carry `release`; without one, all the same.

    An answer with a breach and without a release is not judged: it may be a proxy's error page.
    """
    release = ascii_line(release)
    carriers: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        if finding.release or (finding.status and not finding.breach):
            carriers[finding.release].append(_carrier(finding))
    if carriers.keys() <= {release} or (not release and len(carriers) == 1):
        return None
    # Wrong releases come first; where no release is expected, rare ones.
    sorted_carriers = sorted(carriers.items(), key=lambda item: (item[0] == release, len(item[1])))
    named = [f"{name or 'none'} from {shortlist(whose)}" for name, whose in sorted_carriers]
    seen = shortlist(named, "; ")
    return Breach(Kind.RELEASE, "release", release or "one", seen, retryable=True)


def _carrier(finding: Finding) -> str:
    names = [f"instance {finding.instance}"] if finding.instance else []
    name = " at ".join([*names, finding.address] if finding.address else names) or "an answer"
    ago = finding.seconds_ago
    return name if ago is None else f"{name} (last seen {ago:.1f} s ago)"


def shortlist(names: Sequence[str], between: str = ", ") -> str:
    """The first five of the names, each once, and how many more there are."""
    once = list(dict.fromkeys(names))
    more = f" and {len(once) - 5} more" if len(once) > 5 else ""
    return between.join(once[:5]) + more


def judge_instances(names: Collection[str], requests: int, wanted: int) -> Breach | None:
    """The breach, if fewer than `wanted` instances have answered; None if there are enough."""
    count = len(names)
    if count >= wanted:
        return None
    seen = f"{count} of {wanted} in {requests} requests"
    return Breach(Kind.INCONCLUSIVE, "instances", str(wanted), seen, retryable=True)
