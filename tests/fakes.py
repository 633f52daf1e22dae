"""Plain objects that stand in for time and for checks, and child processes that may be harmed."""

import os
import resource
import signal
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

from petsage.checks import Check
from petsage.health.report import Condition


class ManualClock:
    """A clock that a test sets. A wait ends as soon as its event is set; otherwise time passes."""

    def __init__(self, now: float = 1000.0, patience_seconds: float = 5.0) -> None:
        self.time = now
        self.patience_seconds = patience_seconds
        """How long a wait takes, in real seconds, before it counts as timed out."""

    def now(self) -> float:
        return self.time

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if event.wait(self.patience_seconds):
            return True
        self.time += seconds
        return False


class Subject:
    """The run of a check: it passes, raises an exception, or hangs until `go` is set."""

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
    """A check; by default of every probe except live."""
    options.setdefault("probes", frozenset({"ready", "startup", "smoke"}))
    return Check(name, run or Subject(), **options)  # type: ignore[arg-type]


def condition(name: str, **reasons: Callable[[], str]) -> Condition:
    """A condition of these probes; each value returns the reason for its probe."""
    return Condition(name, tuple(reasons), lambda: {one: say() for one, say in reasons.items()})


CHILD_SECONDS = 10


def in_a_child(answer: Callable[[], str]) -> str:
    """What `answer` returns in a forked child; fails if the child raises, or takes 10 s."""
    code, said = forked(answer)
    assert code == 0, said or f"the child ended with {code}"
    return said


def forked(job: Callable[[], object], seconds: int = CHILD_SECONDS) -> tuple[int, str]:
    """The exit code of a forked child that does a job: 0, 1 if that raises, -N if signal N ends it,
    -14 after so many seconds. And what the job returns, or the traceback of what it raises."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        _end_with(job, writable, seconds)
    os.close(writable)
    with open(readable, "rb") as pipe:  # noqa: PTH123
        said = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def _end_with(job: Callable[[], object], writable: int, seconds: int) -> NoReturn:
    """Whatever happens, the child never gets back into pytest: it would run the other tests too."""
    code, said = 1, ""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)  # it ends the child, whatever the child waits for
        code, said = 0, str(job())
    except BaseException:
        code, said = 1, traceback.format_exc()
    finally:
        os.write(writable, said.encode(errors="replace"))
        try:
            os._exit(code)
        finally:  # measured coverage does more in it, which may raise
            os.kill(os.getpid(), signal.SIGKILL)


def without_threads() -> None:
    """Makes this process, which must be a child, unable to start threads."""
    if os.geteuid() == 0:  # the limit does not hold for root
        os.setuid(65534)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, resource.getrlimit(resource.RLIMIT_NPROC)[1]))


def with_threads() -> None:
    """Makes it able to start threads again."""
    resource.setrlimit(resource.RLIMIT_NPROC, (resource.getrlimit(resource.RLIMIT_NPROC)[1],) * 2)
