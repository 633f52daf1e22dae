"""The arbiter: the drain, the probe worker, and forks that fail."""

import gc
import logging
import math
import os
import signal
import time
from pathlib import Path
from typing import Any

from gunicorn import arbiter, sock
from gunicorn.errors import HaltServer

from petsage.config import Config
from petsage.scoreboard import scoreboard
from petsage.serving.listeners import begin_no_connection, new_listeners
from petsage.serving.worker import STOPS, Worker

PAUSE_SECONDS = 0.5
"""How long to wait after a fork that failed, or after a worker that could not boot."""


class Arbiter(arbiter.Arbiter):
    """gunicorn's arbiter, which has one more worker: the probe worker, which alone serves the
    management listener.

    For each signal gunicorn calls `handle_NAME`. Once a second, and after each signal, it calls
    `manage_workers`.
    """

    def __init__(self, app: Any) -> None:
        self.retired: set[int] = set()
        """The workers that got SIGTERM. The arbiter does not count them: a stop lasts as long as
        its slowest request, and until then a killed worker would get no successor."""
        self.has_begun = bool(app.handover.workers)
        """Whether a worker has ever served, including the workers from before a reload."""
        super().__init__(app)  # it loads PetSage's own application
        self.config: Config = app.config
        descriptors = app.handover.listeners or new_listeners(self.config, self.cfg.backlog)
        self.LISTENERS = sock.create_sockets(self.cfg, self.log, descriptors)
        self.systemd = not app.handover.own  # if so, gunicorn does not unlink their paths

    def start(self) -> None:
        super().start()
        # A garbage collector writes into each object that it visits. Without this, that of each
        # worker would copy every page that the worker shares with the arbiter.
        gc.freeze()
        gc.enable()

    def has_companion(self) -> bool:
        """Whether another arbiter, the child or the parent of a SIGUSR2, has the same listeners."""
        return bool(self.reexec_pid or self.master_pid)

    # Signals.

    def handle_term(self) -> None:
        """SIGTERM begins the drain: the instance serves, but is not ready.

        A second SIGTERM ends the drain. There is no drain while another arbiter serves.
        """
        if scoreboard.draining or not self.config.drain_seconds or self.has_companion():
            super().handle_term()  # raises StopIteration, which begins the stop
        scoreboard.draining = True
        self.log.info("Draining for %g s", self.config.drain_seconds)
        signal.signal(signal.SIGALRM, self.signal)
        signal.setitimer(signal.ITIMER_REAL, self.config.drain_seconds)

    handle_alrm = arbiter.Arbiter.handle_term  # the end of the drain

    def handle_int(self) -> None:
        """SIGINT and SIGQUIT: a worker that does not react is killed after 1 s, or after the 2 s
        that gunicorn grants if a stop has begun."""
        self.cfg.set("graceful_timeout", 1)
        super().handle_int()

    handle_quit = handle_int

    def handle_ttou(self) -> None:
        """SIGTTOU: one application worker and the probe worker stay."""
        if self.num_workers > 2:
            super().handle_ttou()

    def handle_usr2(self) -> None:
        """SIGUSR2 starts another arbiter, as in gunicorn. It is refused if the sockets were handed
        over: the other arbiter would die."""
        if self.systemd or self.app.handover.workers:
            self.log.error("SIGUSR2 refused: the sockets were handed over; SIGHUP reloads")
            return
        try:
            super().handle_usr2()
        except OSError as error:
            self.log.warning("SIGUSR2 failed: %s", error.strerror)
            if os.getpid() != self.pid:  # this is the child, and has nothing to execute
                self.stop()

    def stop(self, graceful: bool = True) -> None:
        """Stops the workers, and unlinks the paths of unix sockets if they are still there."""
        if os.getpid() != self.pid:  # a child that is no worker yet: all of it is its parent's
            logging.shutdown()
            os._exit(1)
        if not (self.systemd or self.has_companion()):  # nobody else has these listeners
            for listener in self.LISTENERS:
                begin_no_connection(listener.sock)
        names = [listener.getsockname() for listener in self.LISTENERS]
        self.systemd |= not all(Path(name).exists() for name in names if isinstance(name, str))
        super().stop(graceful)

    # Workers.

    def prepare(self, worker: Worker) -> None:
        """The worker that is about to be forked becomes the probe worker if there is none.

        The very first worker never does: gunicorn waits up to 0.1 s before it forks the next one,
        and the application must not wait for that.
        """
        others = self.WORKERS.values()
        worker.probe = bool(others) and not any(other.probe for other in others)
        if worker.probe:
            worker.age = math.inf  # the arbiter retires the worker with the lowest age
        else:
            worker.slot = scoreboard.new_slot(time.monotonic())

    def spawn_worker(self) -> None:
        """Forks a worker, and writes its process into its slot.

        Until the worker sets handlers of its own, it has the arbiter's, which would ignore its
        stop: so the signals are blocked until then (`Worker.init_signals`).
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            pid = super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        worker = self.WORKERS[pid]
        if not worker.probe:
            worker.slot.pid = pid

    def manage_workers(self) -> None:
        """Forks workers that are missing, and retires those that are too many."""
        self.has_begun |= any(slot.has_begun for slot in scoreboard.slots())
        scoreboard.keep(self.WORKERS)
        self.retired &= set(self.WORKERS)
        aside = {pid: self.WORKERS.pop(pid) for pid in self.retired}
        try:
            super().manage_workers()
        except OSError as error:  # the fork failed: in the child, gunicorn handles every error
            self.log.warning("No worker could be started; trying again: %s", error.strerror)
            time.sleep(PAUSE_SECONDS)
        finally:
            self.WORKERS.update(aside)

    def kill_worker(self, pid: int, number: int) -> None:
        """Sends a signal; after SIGTERM the worker is retired."""
        if number == signal.SIGTERM:
            self.retired.add(pid)
        super().kill_worker(pid, number)

    def reap_workers(self) -> None:
        """Once any worker has served, one that cannot boot does not end the instance."""
        try:
            super().reap_workers()
        except HaltServer as halt:
            if self.LISTENERS:  # otherwise the stop has begun already
                if not self.has_begun:
                    raise
                self.log.warning("%s Trying again.", halt.reason)
                time.sleep(PAUSE_SECONDS)
            self.reap_workers()  # the others that have ended
