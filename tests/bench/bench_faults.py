"""Random faults on a served instance, one after the other.

    python -m tests.bench.bench_faults N SEED

After each fault, within 6 s, live, ready and the smoke test say what is true, and there is one
probe worker. It prints each fault after which that was not so, and how many there were.
"""

import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import urllib3

from tests.attackers import attacked
from tests.e2e.test_serve import FAILING_FORK
from tests.support import PETSAGE, Served, environment_of, free_port, get, holders, wait_until

WITHIN_SECONDS = 6

APPLICATION = """\
import logging, time
from petsage import create_app

app = create_app()

@app.get("/sleep")
def sleep():
    time.sleep(60)

@app.get("/chat")
def chat():
    for _ in range(100):
        logging.getLogger("chat").warning("x" * 1000)
    return "said"
"""


class Instance:
    """A served instance, its dependency, and the reader of its log."""

    def __init__(self, folder: Path, served: Served, dependency: int) -> None:
        self.folder, self.served, self.dependency_port = folder, served, dependency
        self.reads = threading.Event()
        self.reads.set()
        self.dependency: socket.socket | None = None
        self.turn_dependency()
        threading.Thread(target=self._read_log, daemon=True).start()

    def turn_dependency(self) -> None:
        """Up if it is down, and down if it is up."""
        if self.dependency:
            self.dependency.close()
            self.dependency = None
        else:
            self.dependency = socket.create_server(("127.0.0.1", self.dependency_port))

    def is_right(self) -> str:
        """What is wrong now; empty if nothing is."""
        well = 200 if self.dependency else 503
        served = self.served
        for url, code in (
            (f"{served.management}/livez", 200),
            (f"{served.management}/readyz", well),
            (f"{served.main}/api/v1/smoke-test", well),
        ):
            with suppress(OSError, urllib3.exceptions.HTTPError):
                if get(url, timeout=2).status == code:
                    continue
            return f"{url} is not {code}"
        with suppress(OSError):
            if len(holders(served, served.management)) == 1:
                return ""
        return "not one probe worker"

    def worker(self, chance: random.Random) -> int:
        return chance.choice(self.served.workers() or [self.served.process.pid])

    def _read_log(self) -> None:
        with (self.folder / "log").open("wb") as log:
            while data := os.read(self.served.process.stderr.fileno(), 65536):
                log.write(data)
                log.flush()
                self.reads.wait()


def kill(instance: Instance, chance: random.Random) -> None:
    os.kill(instance.worker(chance), signal.SIGKILL)


def abort(instance: Instance, chance: random.Random) -> None:
    os.kill(instance.worker(chance), signal.SIGABRT)


def stop_and_continue(instance: Instance, chance: random.Random) -> None:
    worker = instance.worker(chance)
    os.kill(worker, signal.SIGSTOP)
    time.sleep(chance.random())
    os.kill(worker, signal.SIGCONT)


def reload(instance: Instance, chance: random.Random) -> None:
    instance.served.process.send_signal(signal.SIGHUP)


def more_workers(instance: Instance, chance: random.Random) -> None:
    if len(instance.served.workers()) < 5:
        instance.served.process.send_signal(signal.SIGTTIN)


def fewer_workers(instance: Instance, chance: random.Random) -> None:
    instance.served.process.send_signal(signal.SIGTTOU)


def no_descriptors(instance: Instance, chance: random.Random) -> None:
    worker = instance.worker(chance)
    limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (5, limits[1]))
    for _ in range(5):
        with suppress(OSError, urllib3.exceptions.HTTPError):
            get(f"{instance.served.main}/livez", timeout=0.2)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)


def failing_fork(instance: Instance, chance: random.Random) -> None:
    (instance.folder / "no-fork").touch()
    kill(instance, chance)
    time.sleep(chance.random())
    (instance.folder / "no-fork").unlink()


def unread_log(instance: Instance, chance: random.Random) -> None:
    instance.reads.clear()
    for _ in range(5):
        with suppress(OSError, urllib3.exceptions.HTTPError):
            get(f"{instance.served.main}/chat", timeout=1)
    instance.reads.set()


def dependency(instance: Instance, chance: random.Random) -> None:
    instance.turn_dependency()


def wedged(instance: Instance, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 2, 4])):
        threading.Thread(target=_ask_in_vain, args=(instance,), daemon=True).start()


def _ask_in_vain(instance: Instance) -> None:
    with suppress(OSError, urllib3.exceptions.HTTPError):
        get(f"{instance.served.main}/sleep", timeout=10)


def flood(instance: Instance, chance: random.Random) -> None:
    kind = chance.choice(["idle", "half request", "dripping head", "dripping body"])
    side = chance.choice([instance.served.main, instance.served.management])
    with attacked(kind, 200, 30, side.removeprefix("http://")):
        time.sleep(1)


FAULTS = (
    kill,
    abort,
    stop_and_continue,
    reload,
    more_workers,
    fewer_workers,
    no_descriptors,
    failing_fork,
    unread_log,
    dependency,
    wedged,
    flood,
)


@contextmanager
def instance(folder: Path) -> Iterator[Instance]:
    (folder / "shop.py").write_text(APPLICATION)
    (folder / "sitecustomize.py").write_text(FAILING_FORK)
    main, management, dependency_port = free_port(), free_port(), free_port()
    settings = {
        "bind": f"127.0.0.1:{main}",
        "management_bind": f"127.0.0.1:{management}",
        "workers": 2,
        "threads": 2,
        "stuck_seconds": 1,
        "checks": f"it=tcp://127.0.0.1:{dependency_port}#fresh=1",
    }
    environment = environment_of(settings) | {"PYTHONPATH": str(folder)}
    command = [PETSAGE, "serve", "shop:app"]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        served = Served(
            process, f"http://127.0.0.1:{main}", f"http://127.0.0.1:{management}", folder / "log"
        )
        made = Instance(folder, served, dependency_port)
        try:
            wait_until(lambda: not made.is_right(), seconds=20)
            yield made
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def run(count: int, seed: int) -> int:
    """How many faults were followed by a wrong answer."""
    chance, done, wrong, longest = random.Random(seed), Counter[str](), 0, 0.0
    with tempfile.TemporaryDirectory() as folder, instance(Path(folder)) as served:
        for number in range(count):
            fault = chance.choice(FAULTS)
            done[fault.__name__] += 1
            with suppress(ProcessLookupError):
                fault(served, chance)
            began = time.monotonic()
            while (problem := served.is_right()) and time.monotonic() - began < WITHIN_SECONDS:
                time.sleep(0.05)
            longest = max(longest, time.monotonic() - began)
            if problem:
                wrong += 1
                print(f"{number} {fault.__name__}: {problem}", flush=True)
                print((Path(folder) / "log").read_text(errors="replace")[-2000:])
                wait_until(lambda: not served.is_right(), seconds=60)
    print(f"{count} faults of seed {seed}: {wrong} wrong, longest {longest:.1f} s, {dict(done)}")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(run(int(sys.argv[1]), int(sys.argv[2]))))
