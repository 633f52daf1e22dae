"""Promises of the probe worker: it answers whatever happens to any worker, and there is one."""

import json
import os
import select
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.support import get, holders, served, unaccepted, wait_until

APPLICATION = """\
import os, time

def app(environ, start_response):
    match environ["PATH_INFO"]:
        case "/sleep":
            time.sleep(60)
        case "/spin":
            while True:
                pass
        case "/short":
            time.sleep(0.1)
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\\n"]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "odd.py").write_text(APPLICATION)
    return tmp_path


@pytest.fixture
def service(folder):
    """An instance with two application workers of two threads each."""
    with served(folder, "odd:app", cwd=folder, workers=2, threads=2, stuck_seconds=60) as running:
        wait_until(lambda: len(running.workers()) == 3)
        yield running


def probe_worker(service):
    """The one worker that holds the management listener; the arbiter holds it too."""
    (worker,) = holders(service, service.management)
    return worker


def whole(service, workers=2, seconds=5):
    """Whether there are one probe worker and so many application workers, and both sides answer."""

    def holds():
        return (
            len(holders(service, service.management)) == 1
            and len(holders(service, service.main)) == workers
            and len(service.workers()) == workers + 1
            and get(f"{service.management}/livez", timeout=1).status == 200
            and get(f"{service.main}/", timeout=1).status == 200
        )

    wait_until(holds, seconds)
    return True


def test_each_worker_holds_one_listener(service):
    assert whole(service)
    main, management = (set(holders(service, url)) for url in (service.main, service.management))
    assert not main & management


@pytest.mark.parametrize("which", ["probe", "application"])
def test_a_killed_worker_comes_back(service, which):
    probe = probe_worker(service)
    victim = probe if which == "probe" else next(w for w in service.workers() if w != probe)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in service.workers())
    assert whole(service)
    assert (probe_worker(service) == probe) == (which != "probe")


def test_all_workers_killed_at_once_come_back(service):
    victims = service.workers()
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not set(victims) & set(service.workers()))
    assert whole(service)


def test_a_worker_that_was_stopped_goes_on_at_its_listener(service):
    for worker in service.workers():
        os.kill(worker, signal.SIGSTOP)
        os.kill(worker, signal.SIGCONT)
        assert whole(service)


def test_more_workers_and_fewer_down_to_one_leave_the_probe_worker(service):
    probe = probe_worker(service)
    service.process.send_signal(signal.SIGTTIN)
    assert whole(service, workers=3)
    for workers in (2, 1, 1, 1):
        service.process.send_signal(signal.SIGTTOU)
        assert whole(service, workers, seconds=10)
    assert probe_worker(service) == probe


def test_after_usr2_each_arbiter_has_its_probe_worker_and_the_old_one_goes_without_a_drain(folder):
    settings: dict[str, Any] = {"workers": 2, "drain_seconds": 600}
    with served(folder, "odd:app", cwd=folder, **settings) as service:
        service.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: service.log.read_text().count("Starting gunicorn") == 2)
        (new,) = wait_until(lambda: _arbiters(service))
        wait_until(lambda: len(_children(new)) == 3)
        try:
            service.process.send_signal(signal.SIGTERM)
            service.process.wait(10)
            for _ in range(20):
                assert get(f"{service.main}/").data == b"ok\n"
                assert get(f"{service.management}/readyz").status == 200
        finally:
            os.kill(new, signal.SIGINT)
            wait_until(lambda: _gone(new))


def test_a_usr2_child_that_is_sent_away_takes_no_readiness_from_its_parent(folder):
    settings: dict[str, Any] = {"workers": 2, "drain_seconds": 600}
    with served(folder, "odd:app", cwd=folder, **settings) as service:
        service.process.send_signal(signal.SIGUSR2)
        (new,) = wait_until(lambda: _arbiters(service))
        wait_until(lambda: len(_children(new)) == 3)
        os.kill(new, signal.SIGTERM)
        statuses = set()
        while not _gone(new):
            statuses.add(get(f"{service.management}/readyz").status)
        assert statuses <= {200}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_worker_that_is_stopped_while_it_boots_leaves_nothing_behind(folder, number):
    (folder / "slow.py").write_text("import time\ntime.sleep(1)\nfrom odd import app\n")
    with served(folder, "slow:app", cwd=folder, workers=1, drain_seconds=0) as service:
        before = set(service.workers())
        service.process.send_signal(signal.SIGTTIN)
        (booting,) = wait_until(lambda: set(service.workers()) - before)
        os.kill(booting, signal.SIGTERM)
        wait_until(lambda: booting not in service.workers())
        service.process.send_signal(number)
        wait_until(lambda: not before & set(service.workers()) or service.process.poll() == 0, 15)
        log = service.log.read_text()
    assert "Traceback" not in log
    assert "exited with code" not in log


def _children(pid):
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _arbiters(service):
    return [pid for pid in service.workers() if _children(pid)]


def _is_zombie(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _gone(pid):
    try:
        return _is_zombie(pid)
    except OSError:
        return True


def test_when_the_arbiter_is_killed_nothing_stays_behind(service):
    workers = service.workers()
    service.process.kill()
    service.process.wait(10)
    wait_until(lambda: all(map(_gone, workers)), seconds=15)


def test_when_the_process_group_is_terminated_nothing_stays_behind(service):
    workers = service.workers()
    os.killpg(service.process.pid, signal.SIGTERM)
    service.process.wait(15)
    wait_until(lambda: all(map(_gone, workers)))


def test_a_worker_that_hangs_in_boot_keeps_nobody_from_the_probes(folder):
    gate = folder / "hang"
    (folder / "boots.py").write_text(
        "import os, time\n"
        f"while os.path.exists({str(gate)!r}):\n"
        "    time.sleep(0.05)\n"
        "from odd import app\n"
    )
    with served(folder, "boots:app", cwd=folder, workers=1) as service:
        assert whole(service, workers=1)
        gate.touch()
        victim = next(w for w in service.workers() if w != probe_worker(service))
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(service.workers()) == 2)
        assert get(f"{service.management}/livez").status == 200
        gate.unlink()
        assert whole(service, workers=1)


@pytest.mark.parametrize("how", ["/sleep", "/spin", "stop"])
def test_probes_answer_while_every_application_worker_is_blocked(service, how):
    with ThreadPoolExecutor(32) as clients:
        block(service, how, clients)
        with pytest.raises(urllib3.exceptions.TimeoutError):
            get(f"{service.main}/", timeout=0.5)
        for _ in range(50):
            assert get(f"{service.management}/livez", timeout=1).status in (200, 503)
        assert get(f"{service.management}/metrics", timeout=1).status == 200
        os.killpg(service.process.pid, signal.SIGKILL)


def block(service, how, clients):
    """Blocks every application worker: its threads sleep or spin, or the worker is stopped."""
    if how == "stop":
        for worker in holders(service, service.main):
            os.kill(worker, signal.SIGSTOP)
        return

    def more():
        clients.submit(_ask_in_vain, f"{service.main}{how}")
        return _answers_soon(service)

    # One worker may accept a request that was meant to block the other one.
    wait_until(lambda: not any(more() for _ in range(4)), seconds=30)


def _ask_in_vain(url):
    try:
        get(url, timeout=30)
    except urllib3.exceptions.HTTPError:
        return


def _answers_soon(service):
    try:
        return get(f"{service.main}/", timeout=0.5).status == 200
    except urllib3.exceptions.TimeoutError:
        return False


def hold(clients, service, count):
    """So many requests that sleep begin, and are with a thread.

    One after the other: a worker that has no request yet may accept two clients at once.
    """
    for number in range(1, count + 1):
        clients.submit(_ask_in_vain, f"{service.main}/sleep")
        wait_until(partial(_are_busy, service, number))


def _are_busy(service, threads):
    lines = get(f"{service.management}/metrics").data.decode().splitlines()
    busy = [float(x.split()[1]) for x in lines if x.startswith("petsage_worker_busy_threads{")]
    return sum(busy) >= threads


def test_a_worker_whose_threads_are_all_held_leaves_new_connections_to_the_others(folder):
    settings: dict[str, Any] = {"workers": 2, "threads": 2, "stuck_seconds": 60}
    with (
        served(folder, "odd:app", cwd=folder, **settings) as service,
        ThreadPoolExecutor(32) as clients,
    ):
        wait_until(lambda: len(service.workers()) == 3)
        _, second = holders(service, service.main)
        os.kill(second, signal.SIGSTOP)
        hold(clients, service, 2)
        os.kill(second, signal.SIGCONT)
        assert [get(f"{service.main}/", timeout=2).status for _ in range(20)] == [200] * 20
        assert {get(f"{service.management}/readyz").status for _ in range(20)} == {200}
        os.killpg(service.process.pid, signal.SIGKILL)


def test_a_wedged_worker_is_named_and_replaced_and_its_stacks_are_logged(folder):
    settings: dict[str, Any] = {
        "workers": 1,
        "threads": 2,
        "stuck_seconds": 2,
        "log_format": "json",
    }
    with (
        served(folder, "odd:app", cwd=folder, **settings) as service,
        ThreadPoolExecutor(32) as clients,
    ):
        (wedged,) = holders(service, service.main)
        hold(clients, service, 2)
        assert get(f"{service.main}/", timeout=20).status == 200  # it waits for the new worker
        assert wedged not in service.workers()
        (line,) = [x for x in service.log.read_text().splitlines() if "is replaced" in x]
        logged = json.loads(line)
        assert logged["event"].startswith(
            f"Worker {wedged} is replaced: all its threads have been busy"
        )
        assert "odd.py" in logged["trace"]
        assert whole(service, workers=1)


def test_while_nobody_waits_long_requests_only_warn(folder):
    settings: dict[str, Any] = {"workers": 1, "threads": 1, "stuck_seconds": 1}
    with (
        served(folder, "odd:app", cwd=folder, **settings) as service,
        ThreadPoolExecutor(32) as clients,
    ):
        hold(clients, service, 1)
        warning = b"[!]workers warn: 1 of 1 workers: a request has run for"
        # The probe's own connect is no client: it goes away again.
        wait_until(lambda: warning in get(f"{service.management}/livez?verbose").data)
        os.killpg(service.process.pid, signal.SIGKILL)


def test_when_the_new_workers_are_wedged_too_the_live_probe_fails(folder):
    settings: dict[str, Any] = {"workers": 1, "threads": 1, "stuck_seconds": 2}
    with (
        served(folder, "odd:app", cwd=folder, **settings) as service,
        ThreadPoolExecutor(64) as clients,
    ):
        for _ in range(12):
            clients.submit(_ask_in_vain, f"{service.main}/sleep")
        wait_until(lambda: get(f"{service.management}/livez").status == 503, seconds=20)
        assert "is replaced" in service.log.read_text()
        os.killpg(service.process.pid, signal.SIGKILL)


def test_while_all_its_threads_are_busy_the_probe_worker_accepts_who_comes(folder):
    with socket.create_server(("127.0.0.1", 0)) as mute, ExitStack() as stack:
        # Each report waits for the check in vain, and so holds a thread for 0.8 s.
        checks = f"mute=http://127.0.0.1:{mute.getsockname()[1]}#timeout=60"
        service = stack.enter_context(served(folder, "odd:app", cwd=folder, checks=checks))
        host, _, port = service.management.removeprefix("http://").partition(":")
        clients = [
            stack.enter_context(socket.create_connection((host, int(port)), 30)) for _ in range(96)
        ]
        for client in clients:
            client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        wait_until(lambda: not unaccepted(service.management))
        answered, _, _ = select.select(clients, [], [], 0)
        assert len(answered) < 64  # of a worker that takes 16 at a time, 80 are answered by then
        assert {client.recv(100).split()[1] for client in clients} == {b"503"}


def test_no_probe_becomes_a_request_to_the_application(folder):
    (folder / "counts.py").write_text(
        "seen = []\n"
        "def app(environ, start_response):\n"
        "    seen.append(environ['PATH_INFO'])\n"
        "    start_response('200 OK', [])\n"
        "    return [' '.join(seen).encode()]\n"
    )
    with served(folder, "counts:app", cwd=folder, workers=1) as service:
        for probe in ("livez", "readyz", "startupz", "status", "metrics") * 5:
            get(f"{service.management}/{probe}")
        assert get(f"{service.main}/own").data == b"/own"


def test_an_unlinked_unix_socket_fails_readiness(folder, tmp_path):
    main = tmp_path / "main.sock"
    with served(folder, "odd:app", cwd=folder, bind=f"unix:{main}") as service:
        main.unlink()
        wait_until(lambda: get(f"{service.management}/readyz").status == 503)
        assert b"nobody has accepted connections for" in get(f"{service.management}/readyz").data


def test_with_250_clients_on_4_threads_live_and_ready_stay_well(folder):
    with served(folder, "odd:app", cwd=folder, workers=2, threads=2, stuck_seconds=4) as service:
        with ThreadPoolExecutor(250) as clients:
            answers = [clients.submit(get, f"{service.main}/short", timeout=60) for _ in range(250)]
            statuses = set()
            while not all(answer.done() for answer in answers):
                for probe in ("livez", "readyz"):
                    statuses.add(get(f"{service.management}/{probe}", timeout=1).status)
            assert {answer.result().status for answer in answers} == {200}
        assert statuses == {200}


def test_a_worker_that_takes_long_to_stop_keeps_no_other_one_from_its_successor(folder):
    settings: dict[str, Any] = {"workers": 2, "threads": 1, "graceful_seconds": 60}
    with (
        served(folder, "odd:app", cwd=folder, **settings) as service,
        ThreadPoolExecutor(4) as clients,
    ):
        wait_until(lambda: len(service.workers()) == 3, seconds=30)
        hold(clients, service, 2)
        service.process.send_signal(signal.SIGTTOU)
        wait_until(lambda: len(holders(service, service.main)) == 1, seconds=30)
        probe = probe_worker(service)
        os.kill(probe, signal.SIGKILL)
        wait_until(
            lambda: get(f"{service.management}/startupz", timeout=1).status == 200, seconds=30
        )
        assert probe_worker(service) != probe
        os.killpg(service.process.pid, signal.SIGKILL)
