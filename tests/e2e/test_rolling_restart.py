"""Two instances behind the printed nginx site, restarted in turn under traffic: nothing is lost."""

import itertools
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import urllib3

from tests.e2e.proxy import nginx
from tests.support import Served, free_port, get, served

CLIENTS = 4
"""Of each method."""


@dataclass
class Traffic:
    """Clients that send one request after the other, and never send one twice."""

    base: str
    sent: Counter[str] = field(default_factory=Counter)
    """The number of requests with the right answer, by method."""
    failed: list[str] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)
    """The bodies of all POSTs; no two are the same."""
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator["Traffic"]:
        clients = [
            threading.Thread(target=self._send, args=(method, number))
            for number, method in enumerate(["GET", "POST"] * CLIENTS)
        ]
        for client in clients:
            client.start()
        try:
            yield self
        finally:
            self._stop.set()
            for client in clients:
                client.join(60)

    def _send(self, method: str, client: int) -> None:
        with urllib3.PoolManager(retries=False, timeout=20) as pool:
            for number in itertools.count():
                if self._stop.is_set():
                    return
                body = f"{client}-{number}" if method == "POST" else ""
                self._one(pool, method, body)

    def _one(self, pool: urllib3.PoolManager, method: str, body: str) -> None:
        if body:
            self.posted.append(body)
        try:
            answer = pool.request(method, f"{self.base}/api/journal", body=body or None)
        except urllib3.exceptions.HTTPError as error:
            self.failed.append(f"{method} {body}: {error!r}")
            return
        if answer.status == 200 and answer.data.decode() == body:
            self.sent[method] += 1
        else:
            self.failed.append(f"{method} {body}: {answer.status} {answer.data!r}")


class Instance:
    """An instance that restarts at the same address."""

    def __init__(self, stack: ExitStack, folder: Path, bind: str, *application: str) -> None:
        self._application = application
        self._stack = stack
        self._folder = folder
        self._settings: dict[str, Any] = {
            "bind": bind,
            "management_bind": f"127.0.0.1:{free_port()}",
            "drain_seconds": 0.5,
        }
        self._served = self._start()

    def _start(self) -> Served:
        startup = f"http://{self._settings['management_bind']}/startupz"
        return self._stack.enter_context(
            served(
                self._folder,
                *self._application,
                cwd=self._folder,
                ready=lambda: get(startup).status == 200,
                **self._settings,
            )
        )

    def restart(self) -> None:
        """Stops it by SIGTERM, and starts it again; returns when it has started."""
        self._served.process.send_signal(signal.SIGTERM)
        assert self._served.process.wait(30) == 0
        self._served = self._start()


@dataclass(frozen=True)
class Outcome:
    """What clients saw, and what the instances did."""

    traffic: Traffic
    restarts: int
    done: Counter[str]
    """How often each POST was done."""


def roll(folder: Path, restarts: int, requests: int) -> Outcome:
    """Restarts two instances in turn, without a pause, until at least so many restarts are done and
    so many requests are answered. One listens on TCP, one on a unix socket."""
    shutil.copy(Path(__file__).with_name("journal.py"), folder)
    restarted = 0
    with ExitStack() as stack:
        # Directly in /tmp: nginx runs as another user, who cannot enter a folder of pytest's.
        sockets = Path(stack.enter_context(TemporaryDirectory()))
        sockets.chmod(0o755)
        binds = [f"127.0.0.1:{free_port()}", f"unix:{sockets}/main.sock"]
        instances = [Instance(stack, folder, bind, "journal:app") for bind in binds]
        traffic = Traffic(stack.enter_context(nginx(folder, *binds)))
        with traffic.running():
            while restarted < restarts or traffic.sent.total() < requests:
                instances[restarted % 2].restart()
                restarted += 1
    return Outcome(traffic, restarted, Counter((folder / "journal").read_text().split()))


def test_of_20_000_requests_none_is_lost_and_none_done_twice(tmp_path):
    outcome = roll(tmp_path, restarts=4, requests=20_000)
    sent = outcome.traffic.sent
    assert outcome.traffic.failed == []
    assert sent.total() >= 20_000
    assert sent["POST"] > 0.4 * sent.total()
    assert outcome.done == Counter(outcome.traffic.posted)
