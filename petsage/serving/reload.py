"""A reload: a process of its own tests the new code, which then takes the old code's place.

The arbiter executes `petsage serve` again in the same process: the process id stays, the listeners
are inherited, and the workers stay its children. They serve until the workers of the new code do.
"""

import json
import logging
import math
import os
import signal
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from types import SimpleNamespace
from typing import Any, BinaryIO

from gunicorn.systemd import sd_notify
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER

from petsage.printable import one_line
from petsage.scoreboard import scoreboard
from petsage.serving.arbiter import Arbiter
from petsage.serving.listeners import HANDOVER, Handover
from petsage.serving.loading import PROVEN

_OUTPUT_BYTES = 64 * 1024
"""How much of the end of a test's output is read."""

_SIGNALS = {*Arbiter.SIGNALS, signal.SIGCHLD}


class ReloadingArbiter(Arbiter):
    """The arbiter at SIGHUP: it tests the new code while the old one serves, then executes it."""

    _output: BinaryIO
    """What the test prints."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self._test: Popen[bytes] | None = None
        self._has_taken_over = False
        self._retired_at = math.inf
        # The path as it was called: a symlink in it may lead to the new release by now.
        script = Path(sys.argv[0])
        if not os.access(script, os.X_OK):  # python -m petsage
            script = Path(sys.executable).with_name("petsage")
        path = str(Path(self.START_CTX["cwd"], script))
        self.START_CTX |= {0: path, "args": [path, *sys.argv[1:]]}
        beat = SimpleNamespace(last_update=self._old_beat, close=lambda: None)
        for pid in app.handover.workers:
            # Their age is what marks the old workers.
            self.WORKERS[pid] = SimpleNamespace(age=-1, probe=False, aborted=False, tmp=beat)
            self.retired.add(pid)

    def init_signals(self) -> None:
        """Unblocks the signals, also those that came while the old code executed this one."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def handle_term(self) -> None:
        """The old workers know nothing of this drain, and would say that they are ready: they stop.
        Requests that come before the new workers have booted wait for those."""
        super().handle_term()
        self._stop_old()

    def handle_hup(self) -> None:
        """SIGHUP: tests the code as it is now, in place of a test that began before."""
        self._end_test()
        if reason := self._obstacle():
            self._refuse(reason)
            return
        self.log.info("Testing the new code")
        script, serve, *application = self.START_CTX["args"]
        try:
            # Not a pipe, which would fill; not a file, whose disk may be full.
            self._output = os.fdopen(os.memfd_create("petsage-test"), "rb")
            self._test = Popen(  # noqa: S603
                [script, serve, "--test", *application],
                env=self.cfg.env_orig,
                cwd=self.START_CTX["cwd"],
                stdin=DEVNULL,
                stdout=self._output,
                stderr=STDOUT,
            )
        except OSError as error:
            self._refuse(str(error))

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Waits for signals as gunicorn does, and acts when the test has ended."""
        if not self._has_taken_over:
            timeout = 0.1
            self._take_over()
        signals: list[int] = super().wait_for_signals(timeout)
        if self._test and self._test.poll() is not None and self._is_proven(self._test.returncode):
            self._execute(signals)
        return signals

    def stop(self, graceful: bool = True) -> None:
        self._end_test()
        super().stop(graceful)

    def _obstacle(self) -> str:
        if scoreboard.draining:
            return "the instance is stopping"
        if self.has_companion():
            return "SIGUSR2 has started another arbiter"
        return ""

    def _refuse(self, reason: str) -> None:
        self.log.error("Reload refused, the old code goes on: %s", one_line(reason, 1000))

    def _is_proven(self, code: int) -> bool:
        """Whether the new code holds, after a test that ended with this exit code."""
        self._test = None
        if reason := self._obstacle() or self._failure(code):
            self._refuse(reason)
        return not reason

    def _failure(self, code: int) -> str:
        """Why the test failed; empty if it did not. Its exit code alone proves nothing: the new
        code may have ended it, or gunicorn may have reaped it."""
        self._output.seek(-min(self._output.seek(0, os.SEEK_END), _OUTPUT_BYTES), os.SEEK_END)
        output = self._output.read().decode(errors="replace")
        if not code and PROVEN in output:
            return ""
        end = {-signal.SIGALRM: "the test takes too long"}.get(code, f"exit code {code}")
        return output.partition("petsage: ")[2] or end

    def _end_test(self) -> None:
        if self._test:
            self._test.kill()
            self._test.wait()
            self._test = None

    def _execute(self, signals: list[int]) -> None:
        """Executes the new code. It gets these signals, and those that come meanwhile."""
        self.log.info("The new code holds: process %d executes it", self.pid)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for number in [*signals, *super().wait_for_signals(0)]:
            os.kill(self.pid, number)
        listeners = [listener.fileno() for listener in self.LISTENERS]
        handover = Handover(self.pid, listeners, list(self.WORKERS), not self.systemd)
        environment = self.cfg.env_orig | {HANDOVER: json.dumps(handover)}
        try:
            os.chdir(self.START_CTX["cwd"])
            for handler in logging.getLogger().handlers:
                handler.flush()  # the thread that writes what is queued ends here
            os.execve(self.START_CTX[0], self.START_CTX["args"], environment)  # noqa: S606
        except OSError as error:
            signals.clear()  # they are pending, and come again once they are unblocked
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._refuse(str(error))

    def _take_over(self) -> None:
        """Stops the old workers once all new ones have begun to serve. When no request can reach
        the old code any more, it logs that."""
        new = [worker for pid, worker in self.WORKERS.items() if pid not in self.retired]
        now = time.monotonic()
        # A worker's heartbeat is monotonic time; before the first one it is the date: far later.
        if len(new) < self.num_workers or any(worker.tmp.last_update() > now for worker in new):
            return
        old = self._stop_old()
        # A stopping worker still reads from the connections that it has kept alive.
        if not old or now > self._retired_at + STOP_KEEPALIVE_LINGER + 1:
            self._has_taken_over = True
            self.log.info("Release %s answers", self.config.release)
            sd_notify(f"STATUS=Release {self.config.release} answers", self.log)

    def _stop_old(self) -> list[int]:
        """Sends the old workers SIGTERM, once; returns those that are left."""
        old = [pid for pid, worker in self.WORKERS.items() if worker.age < 0]
        if self._retired_at == math.inf:
            self._retired_at = time.monotonic()
            for pid in old:
                self.kill_worker(pid, signal.SIGTERM)
        return old

    def _old_beat(self) -> float:
        """The heartbeat of the old workers. It is set such that the arbiter kills those that are
        left once the graceful time is over."""
        return self._retired_at + float(self.cfg.graceful_timeout + 1 - self.cfg.timeout)
