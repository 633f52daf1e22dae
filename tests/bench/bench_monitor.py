"""What a slow and a hung dependency cost those who ask.

    python -m pytest tests/bench/bench_monitor.py

Sixteen callers ask a served worker for five seconds, while its one dependency takes half
a second each time, and then while it never returns.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import pytest
import urllib3

from tests.support import served

APPLICATION = """\
import threading, time
from flask import Flask
from petsage import Check, health

app, asked, never = Flask("shop"), [], threading.Event()

def slow():
    asked.append(time.monotonic())
    time.sleep(0.5)

def hung():
    asked.append(time.monotonic())
    never.wait()

app.add_url_rule("/asked", "asked", lambda: str(len(asked)))
health.init_app(app, [Check("dependency", {kind}, external=True)])
"""


def ask(url, until, pool):
    taken = []
    while time.monotonic() < until:
        began = time.monotonic()
        pool.request("GET", url)
        taken.append(time.monotonic() - began)
    return taken


@pytest.mark.parametrize("kind", ["slow", "hung"])
def test_sixteen_callers_for_five_seconds(tmp_path, capsys, kind):
    (tmp_path / "shop.py").write_text(APPLICATION.replace("{kind}", kind))
    with (
        served(tmp_path, "shop:app", cwd=tmp_path, workers=1, threads=16) as service,
        urllib3.PoolManager(maxsize=16) as pool,
        ThreadPoolExecutor(16) as callers,
    ):
        until = time.monotonic() + 5
        asks = [callers.submit(ask, f"{service.main}/readyz", until, pool) for _ in range(16)]
        taken = sorted(seconds for one in asks for seconds in one.result())
        asked = int(pool.request("GET", f"{service.main}/asked").data)
    with capsys.disabled():
        print(
            f"\n{kind} dependency: {len(taken)} answers, median {median(taken) * 1000:.1f} ms,"
            f" longest {taken[-1] * 1000:.0f} ms, asked {asked} times"
        )
    assert taken[-1] < 1.5
    assert asked <= 2
