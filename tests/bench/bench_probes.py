"""How fast the live probe answers while no application worker can.

    python -m pytest tests/bench/bench_probes.py

Every thread of two application workers sleeps, then spins on the CPU, then the workers are stopped;
each time the management listener is asked three hundred times in a row.
"""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from tests.e2e.test_workers import APPLICATION, block
from tests.support import get, served


@pytest.mark.parametrize(("how", "limit"), [("/sleep", 0.05), ("/spin", 0.1), ("stop", 0.05)])
def test_three_hundred_live_probes_in_a_row(tmp_path, capsys, how, limit):
    (tmp_path / "odd.py").write_text(APPLICATION)
    with (
        served(tmp_path, "odd:app", cwd=tmp_path, workers=2, threads=2) as service,
        ThreadPoolExecutor(64) as clients,
    ):
        block(service, how, clients)
        taken = sorted(ask(f"{service.management}/livez") for _ in range(300))
        with pytest.raises(urllib3.exceptions.TimeoutError):
            get(f"{service.main}/", timeout=1)
        os.killpg(service.process.pid, signal.SIGKILL)
    with capsys.disabled():
        print(
            f"\n{how}: median {taken[150] * 1000:.1f} ms, 99 % within {taken[297] * 1000:.1f} ms,"
            f" longest {taken[-1] * 1000:.1f} ms"
        )
    assert taken[-1] < limit


def ask(url):
    began = time.perf_counter()
    assert get(url).status == 200
    return time.perf_counter() - began
