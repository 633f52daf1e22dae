"""Clients at a steady rate, half of them POST: `python -m tests.e2e.load URL RATE`.

Prints `begun`, and after SIGTERM the outcomes of all requests, as JSON. No request is sent twice.
"""

import json
import signal
import sys
import threading
import time
from collections import Counter

import urllib3

CLIENTS = 40


class Clients:
    """Threads, each of which sends one request after the other at its share of the rate."""

    def __init__(self, base: str, rate: float) -> None:
        self._base = base
        self._period = CLIENTS / rate
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        self.failed_at: list[float] = []
        self.longest = 0.0

    def run(self) -> None:
        threads = [threading.Thread(target=self._send, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        signal.signal(signal.SIGTERM, lambda *_: self._over.set())
        print("begun", flush=True)
        for thread in threads:
            thread.join(60)  # a request takes 30 s at most
        names = ("answered", "failed", "failed_at", "longest")
        print(json.dumps({name: getattr(self, name) for name in names}))

    def _send(self, number: int) -> None:
        due = time.monotonic() + self._period * number / CLIENTS
        with urllib3.PoolManager(retries=False, timeout=30) as pool:
            while not self._over.wait(max(0, due - time.monotonic())):
                self._one(pool, "POST" if number % 2 else "GET", f"{number} {due}")
                due = max(due + self._period, time.monotonic())

    def _one(self, pool: urllib3.PoolManager, method: str, body: str) -> None:
        began = time.monotonic()
        try:
            sent = body if method == "POST" else None
            answer = pool.request(method, f"{self._base}/api/v1/echo/", body=sent)
            release = answer.headers.get("PetSage-Release", "")
            wanted = (sent or f"{release}\n").encode()
            good = (answer.status, answer.data) == (200, wanted)
            outcome = "" if good else f"{method}: {answer.status} {answer.data[:80]!r}"
        except urllib3.exceptions.HTTPError as error:
            outcome, release = f"{method}: {error!r}", ""
        with self._lock:
            self.longest = max(self.longest, time.monotonic() - began)
            if outcome:
                self.failed.append(outcome)
                self.failed_at.append(began)
            else:
                self.answered[release] += 1


if __name__ == "__main__":
    Clients(sys.argv[1], float(sys.argv[2])).run()
