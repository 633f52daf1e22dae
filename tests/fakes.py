"""Plain objects that stand in for time and for checks, and processes to spoil."""

import os
import resource
import signal
import threading
from collections.abc import Callable

from petsage.checks import Check
from petsage.health.report import Condition


class ManualClock:
    """A clock that a test sets. To wait takes no time unless the event does not come."""

    def __init__(self, now: float = 1000.0, patience_seconds: float = 5.0) -> None:
        self.time = now
        self.patience_seconds = patience_seconds
        """How long, in real seconds, an event may take that is sure to come."""

    def now(self) -> float:
        return self.time

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if event.wait(self.patience_seconds):
            return True
        self.time += seconds
        return False


class Subject:
    """What a check asks: well, unwell with an exception, or hung until it is let go."""

    def __init__(self, error: BaseException | None = None, hung: bool = False) -> None:
        self.error = error
        self.runs = 0
        self.go = threading.Event()
        if not hung:
            self.go.set()

    def __call__(self) -> None:
        self.runs += 1
        assert self.go.wait(30)
        if self.error is not None:
            raise self.error


def check(name: str = "database", run: object = None, **options: object) -> Check:
    """A check that is asked for by every probe but live, if no probes are given."""
    options.setdefault("probes", frozenset({"ready", "startup", "smoke"}))
    return Check(name, run or Subject(), **options)  # type: ignore[arg-type]


def condition(name: str, **reasons: Callable[[], str]) -> Condition:
    """A condition that calls for each of these probes what returns its reason."""
    return Condition(name, tuple(reasons), lambda: {one: say() for one, say in reasons.items()})


CHILD_SECONDS = 10


def in_a_child(answer: Callable[[], str]) -> str:
    """What `answer` returns in a forked child; fails if the child raises, or takes 10 s."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CHILD_SECONDS)  # it ends the child, whatever the child waits for
        os.write(writable, answer().encode())
        os._exit(0)
    os.close(writable)
    with open(readable, "rb") as pipe:  # noqa: PTH123
        answered = pipe.read().decode()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return answered


def without_threads() -> None:
    """From here on this process, which should be a child, can start no thread."""
    if os.geteuid() == 0:  # whom no limit holds
        os.setuid(65534)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, resource.getrlimit(resource.RLIMIT_NPROC)[1]))


def with_threads() -> None:
    """From here on it can again."""
    resource.setrlimit(resource.RLIMIT_NPROC, (resource.getrlimit(resource.RLIMIT_NPROC)[1],) * 2)
