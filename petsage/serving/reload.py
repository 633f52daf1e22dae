"""A reload: the new code is proven in a process of its own, and then takes the old code's place.

The arbiter executes `petsage serve` again, in place: its process id stays, it inherits its
listeners, and its workers stay its children. They serve until the workers of the new code do.
"""

import json
import logging
import math
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty
from subprocess import DEVNULL, Popen
from types import SimpleNamespace
from typing import Any

from gunicorn.systemd import sd_notify
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER

from petsage.printable import one_line
from petsage.scoreboard import scoreboard
from petsage.serving.handover import HANDOVER, Handover
from petsage.serving.start import OWN_APPLICATION

_SAID_BYTES = 4096
"""How much of what a test has said last is read."""


class Reload:
    """SIGHUP: tests the new code beside the old one, then executes it.

    The arbiter looks up `handle_NAME` and `wait_for_signals` on itself, so an attribute of that
    name on the arbiter replaces its method.
    """

    def __init__(self, server: Any, release: str) -> None:
        self._server = server
        self._release = release
        self._signals = {*server.SIGNALS, signal.SIGCHLD, signal.SIGALRM}
        self._wait = server.wait_for_signals
        self._test: Popen[bytes] | None = None
        self._said = os.memfd_create("petsage-test")  # a pipe would fill, a disk may be full
        self._answers = False
        self._retired_at = math.inf

    def install(self) -> None:
        """Replaces the arbiter's handlers, and adopts what the code before a reload has left."""
        server, handover = self._server, Handover.received()
        os.environ.pop(HANDOVER, None)
        server.handle_hup = self.begin
        server.wait_for_signals = self.wait
        if any(isinstance(address, int) for address in server.cfg.address):  # handed over
            server.handle_usr2 = self._refuse_usr2
            server.systemd = not handover.own  # if so, gunicorn does not unlink their paths
        beat = SimpleNamespace(last_update=self._old_beat, close=lambda: None)
        for pid in handover.workers:
            old = SimpleNamespace(pid=pid, age=-1, probe=False, aborted=False, tmp=beat)
            server.WORKERS[pid] = old
        self._old_workers = len(handover.workers)
        server.num_workers += self._old_workers
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)

    def begin(self) -> None:
        """SIGHUP: tests the code as it is now, in place of a test that began before."""
        self._end_test()
        if reason := self._obstacle():
            self._refuse(reason)
            return
        self._server.log.info("Testing the new code")
        os.ftruncate(self._said, 0)
        os.lseek(self._said, 0, os.SEEK_SET)
        try:
            self._test = Popen(  # noqa: S603
                [*self._command(), "--test"],
                env=self._environment(),
                cwd=self._server.START_CTX["cwd"],
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=self._said,
            )
        except OSError as error:
            self._refuse(str(error))

    def wait(self, timeout: float = 1.0) -> list[int]:
        """Waits for signals as the arbiter does, which comes back here before it reaps children:
        so the test's exit code is not lost."""
        if not self._answers:
            timeout = 0.1
            self._take_over()
        signals: list[int] = self._wait(timeout)
        if self._test and self._is_proven(self._test):
            self._become(signals)
        return signals

    def _obstacle(self) -> str:
        if scoreboard.draining:
            return "the instance is stopping"
        if self._server.reexec_pid or self._server.master_pid:
            return "SIGUSR2 has started another arbiter"
        return ""

    def _refuse(self, reason: str) -> None:
        self._server.log.error("Reload refused, the old code goes on: %s", one_line(reason, 1000))

    def _refuse_usr2(self) -> None:
        self._server.log.error("SIGUSR2 refused: the sockets were handed over; SIGHUP reloads")

    def _is_proven(self, test: "Popen[bytes]") -> bool:
        """Whether the test has ended and the new code holds."""
        try:
            pid, status = os.waitpid(test.pid, os.WNOHANG)
        except ChildProcessError:  # the arbiter was quicker to reap it
            self.begin()
            return False
        if not pid:
            return False
        code = test.returncode = os.waitstatus_to_exitcode(status)
        self._test = None
        if reason := self._obstacle() or (code and self._last_words(code)):
            self._refuse(reason)
        return not reason

    def _end_test(self) -> None:
        if self._test:
            self._test.kill()
            self._test.wait()
            self._test = None

    def _last_words(self, code: int) -> str:
        start = max(0, os.fstat(self._said).st_size - _SAID_BYTES)
        said = os.pread(self._said, _SAID_BYTES, start).decode(errors="replace")
        ended = {-signal.SIGALRM: "the test takes too long"}.get(code, f"exit code {code}")
        return said.partition("petsage: ")[2] or ended

    def _become(self, signals: list[int]) -> None:
        """Executes the new code. What signals have come, and come now, are pending meanwhile."""
        server, command = self._server, self._command()
        server.log.info("The new code holds: process %d executes it", os.getpid())
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        with suppress(Empty):
            while True:
                signals.append(server.SIG_QUEUE.get_nowait())
        for number in signals:
            os.kill(os.getpid(), number)
        listeners = [listener.fileno() for listener in server.LISTENERS]
        handover = Handover(os.getpid(), listeners, list(server.WORKERS), not server.systemd)
        environment = self._environment() | {HANDOVER: json.dumps(handover)}
        try:
            for entry in Path("/proc/self/fd").iterdir():
                with suppress(OSError):  # the one that has read the folder is closed
                    os.set_inheritable(int(entry.name), int(entry.name) in (0, 1, 2, *listeners))
            os.chdir(server.START_CTX["cwd"])
            for handler in logging.getLogger().handlers:
                handler.flush()  # its writer ends here, with what is queued
            os.execve(command[0], command, environment)  # noqa: S606
        except OSError as error:
            signals.clear()  # they are pending, and come again
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)
            self._refuse(str(error))

    def _command(self) -> list[str]:
        """How it was started. The path is as it was called, since a symlink may have been turned;
        a child of SIGUSR2 was started as gunicorn."""
        script, application = Path(sys.orig_argv[1]), self._server.app.app_uri
        if script.name == "gunicorn" or not os.access(script, os.X_OK):
            script = Path(sys.argv[0]).with_name("petsage")
        path = str(Path(self._server.START_CTX["cwd"], script))
        return [path, "serve", *([application] if application != OWN_APPLICATION else [])]

    def _environment(self) -> dict[str, str]:
        """That of the start."""
        inner = (HANDOVER, "GUNICORN_PID", "GUNICORN_FD")
        return {k: v for k, v in self._server.cfg.env_orig.items() if k not in inner}

    def _take_over(self) -> None:
        """Stops the workers of the old code once all those of the new code have begun to serve, and
        says so once no request reaches the old code any more."""
        server, now = self._server, time.monotonic()
        new = [worker for worker in server.WORKERS.values() if worker.age > 0]
        if self._retired_at == math.inf:
            wanted = server.num_workers - self._old_workers
            # Until its first beat a worker's file has the time of its making, by the wall's clock.
            if len(new) < wanted or any(worker.tmp.last_update() > now for worker in new):
                return
            self._retired_at = now
            server.num_workers = max(2, wanted)
            server.manage_workers()
        # A stopping worker still reads from the connections that it has kept alive.
        if len(new) == len(server.WORKERS) or now > self._retired_at + STOP_KEEPALIVE_LINGER + 1:
            self._answers = True
            server.log.info("Release %s answers", self._release)
            sd_notify(f"STATUS=Release {self._release} answers", server.log)

    def _old_beat(self) -> float:
        """The heartbeat of the old workers: it ends when each should have finished what it had, so
        that the arbiter kills whoever is left."""
        cfg = self._server.cfg
        return self._retired_at + float(cfg.graceful_timeout + 1 - cfg.timeout)
