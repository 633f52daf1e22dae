"""Promises of a stop: what was accepted is finished, new work goes elsewhere first."""

import errno
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from tests.e2e.slow import APPLICATION
from tests.support import get, holders, served, wait_until

_ESTABLISHED = "01"  # in /proc/net/tcp


@pytest.fixture
def serve(tmp_path):
    """Serves an application whose request `/?PATH` lasts until there is a file PATH."""
    (tmp_path / "slow.py").write_text(f"VERSION = 'ok\\n'\n{APPLICATION}")

    @contextmanager
    def serve(**settings):
        settings = {"workers": 1, "threads": 2, "graceful_seconds": 20, **settings}
        with served(tmp_path, "slow:app", cwd=tmp_path, **settings) as running:
            wait_until(lambda: len(running.workers()) == settings["workers"] + 1)
            yield running

    return serve


def readiness(service):
    return get(f"{service.management}/readyz").status


def draining(service):
    return wait_until(lambda: readiness(service) == 503)


def test_readiness_ends_within_a_tenth_of_a_second_and_the_service_goes_on(serve):
    with serve(drain_seconds=30) as service, urllib3.PoolManager(maxsize=1) as kept:
        assert readiness(service) == 200
        assert kept.request("GET", service.main).headers["Connection"] == "keep-alive"
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: readiness(service) == 503, seconds=0.1)
        for answer in (get(f"{service.main}/"), kept.request("GET", service.main)):
            assert (answer.data, answer.headers["Connection"]) == (b"ok\n", "close")
        assert (
            b"[-]drain failed: the instance is stopping" in get(f"{service.management}/readyz").data
        )
        assert get(f"{service.management}/livez").status == 200
        (line,) = wait_until(lambda: logged(service, "check drain: fail"))
        assert line.endswith(": the instance is stopping")


def logged(service, words):
    """The lines of the log that have these words."""
    return [line for line in service.log.read_text().splitlines() if words in line]


def test_after_the_drain_it_ends_by_itself_with_zero(serve):
    with serve(drain_seconds=0.5) as service:
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(10) == 0
        assert "Draining for 0.5 s" in service.log.read_text()


def test_a_second_sigterm_ends_the_drain(serve):
    with serve(drain_seconds=600) as service:
        service.process.send_signal(signal.SIGTERM)
        draining(service)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(10) == 0


def unix_service(tmp_path):
    main = tmp_path / "main.sock"
    return {"bind": f"unix:{main}", "ready": main.is_socket}


@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_what_is_in_flight_and_what_waits_in_the_queue_is_finished(serve, tmp_path, transport):
    gate = tmp_path / "gate"
    extra = unix_service(tmp_path) if transport == "unix" else {}
    with serve(drain_seconds=0, threads=2, **extra) as service:
        with ThreadPoolExecutor(20) as clients:
            answers = [clients.submit(ask, service, tmp_path, transport, gate) for _ in range(20)]
            wait_until(lambda: connections(service, tmp_path, transport) >= 20)
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "Handling signal: term" in service.log.read_text())
            gate.touch()
            assert [answer.result(20)[-3:] for answer in answers] == [b"ok\n"] * 20
        assert service.process.wait(10) == 0


def test_what_a_worker_has_not_yet_accepted_is_served_before_it_goes(serve, tmp_path):
    with serve(drain_seconds=0, threads=2) as service:
        (worker,) = holders(service, service.main)
        os.kill(worker, signal.SIGSTOP)  # so that all of it waits in the kernel's queue
        (tmp_path / "gate").touch()
        with ThreadPoolExecutor(10) as clients:
            answers = [
                clients.submit(ask, service, tmp_path, "tcp", tmp_path / "gate") for _ in range(10)
            ]
            wait_until(lambda: connections(service, tmp_path, "tcp") >= 10)
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "Handling signal: term" in service.log.read_text())
            os.kill(worker, signal.SIGCONT)
            assert [answer.result(20)[-3:] for answer in answers] == [b"ok\n"] * 10


def test_a_connection_after_the_listener_is_closed_is_refused_and_can_go_elsewhere(serve, tmp_path):
    with serve(drain_seconds=0) as service, ThreadPoolExecutor(1) as clients:
        slow = clients.submit(ask, service, tmp_path, "tcp", tmp_path / "gate")
        wait_until(lambda: connections(service, tmp_path, "tcp") >= 1)
        service.process.send_signal(signal.SIGTERM)
        host, _, port = service.main.removeprefix("http://").partition(":")

        def is_refused():
            with socket.socket() as client:
                return client.connect_ex((host, int(port))) == errno.ECONNREFUSED

        wait_until(is_refused)
        assert not slow.done()
        (tmp_path / "gate").touch()
        assert slow.result(10)[-3:] == b"ok\n"


def test_a_silent_client_does_not_hold_up_the_stop(serve):
    with serve(drain_seconds=0, graceful_seconds=60) as service:
        host, _, port = service.main.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))):
            get(f"{service.main}/")  # it comes after the other, which so is accepted
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(10) == 0


def ask(service, tmp_path, transport, gate):
    if transport == "tcp":
        host, _, port = service.main.removeprefix("http://").partition(":")
        client = socket.create_connection((host, int(port)), 30)
    else:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(str(tmp_path / "main.sock"))
    with client:
        client.sendall(f"GET /?{gate} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"ok\n"):
            received = client.recv(1000)
            assert received, answer
            answer += received
        return answer


def connections(service, tmp_path, transport):
    """How many connections are established at the main listener, accepted or not."""
    if transport == "unix":
        path = str(tmp_path / "main.sock")
        return sum(path in line for line in Path("/proc/net/unix").read_text().splitlines()) - 1
    port = f":{int(service.main.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == _ESTABLISHED for row in rows)


def test_sigint_ends_it_within_a_second_even_with_slow_requests_queued(serve, tmp_path):
    with serve(threads=2, graceful_seconds=60) as service:
        clients = [
            threading.Thread(target=ends, args=(service, tmp_path / "never")) for _ in range(8)
        ]
        for client in clients:
            client.start()
        wait_until(lambda: connections(service, tmp_path, "tcp") >= 8)
        asked = time.monotonic()
        service.process.send_signal(signal.SIGINT)
        service.process.wait(10)
        assert time.monotonic() - asked < 1
        for client in clients:
            client.join(10)


def ends(service, gate):
    try:
        get(f"{service.main}/?{gate}", timeout=30)
    except urllib3.exceptions.HTTPError:
        return


def test_sigint_ends_a_drain(serve):
    with serve(drain_seconds=600) as service:
        service.process.send_signal(signal.SIGTERM)
        draining(service)
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(5) == 0


def test_a_worker_that_handles_no_signal_does_not_hold_up_sigint(serve):
    with serve() as service:
        for worker in service.workers():
            os.kill(worker, signal.SIGSTOP)
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(5) == 0
