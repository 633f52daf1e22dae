"""Promises of the gate: a client that means harm, or is slow, takes no thread from the others."""

import os
import resource
import signal
import socket
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.attackers import attacked
from tests.support import get, served, wait_until

APPLICATION = """\
BIG = b"x" * 20_000_000

def app(environ, start_response):
    match environ["PATH_INFO"]:
        case "/big":
            body = [BIG]
        case "/file":
            body = environ["wsgi.file_wrapper"](open("file", "rb"))
        case _:
            body = [environ["wsgi.input"].read() or b"ok"]
    length = 1_600_000 if environ["PATH_INFO"] == "/file" else len(body[0])
    start_response("200 OK", [("Content-Length", str(length))])
    return body
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    (folder / "echo.py").write_text(APPLICATION)
    (folder / "file").write_bytes(bytes(1_600_000))
    return folder


@pytest.fixture(scope="module")
def service(folder):
    with served(folder, "echo:app", cwd=folder, workers=2, threads=2) as running:
        yield running


@contextmanager
def limited(descriptors):
    """Limits the processes that are started in this block to so many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def probe(service):
    """Asks as a kubelet does: on a new connection, for a second at most."""
    assert get(f"{service.management}/livez", timeout=1).status == 200


def stands(service, honest=True, seconds=1.5):
    """Asserts that for so long each probe and each honest client is answered within a second."""
    time_over = time.monotonic() + seconds
    while time.monotonic() < time_over:
        probe(service)
        if honest:
            assert get(f"{service.main}/", timeout=1).data == b"ok"


def address(url):
    return url.removeprefix("http://")


@pytest.mark.parametrize(
    ("kind", "count", "path"),
    [
        ("idle", 300, "/"),
        ("half request", 300, "/"),
        ("dripping head", 300, "/"),
        ("dripping body", 100, "/"),
        ("dripping chunks", 100, "/"),
        ("expecting", 100, "/"),
        ("pipelining", 100, "/file"),
    ],
)
def test_an_attack_on_the_main_listener_is_not_felt(service, kind, count, path):
    with attacked(kind, count, 30, address(service.main), path):
        stands(service)


@pytest.mark.parametrize(
    ("kind", "count", "path"),
    [("idle", 1500, "/"), ("dripping head", 300, "/"), ("pipelining", 30, "/status")],
)
def test_an_attack_on_the_management_listener_is_not_felt(service, kind, count, path):
    with attacked(kind, count, 30, address(service.management), path):
        stands(service)


@pytest.mark.parametrize(("kind", "path"), [("not reading", "/big"), ("dripping large body", "/")])
def test_after_an_attack_on_the_threads_themselves_all_is_well_soon(folder, kind, path):
    # An instance of its own: it uses up threads that other tests would miss.
    with served(folder, "echo:app", cwd=folder, workers=2, threads=2) as service:
        with attacked(kind, 20, 2, address(service.main), path):
            stands(service, honest=False)
        wait_until(lambda: get(f"{service.main}/", timeout=1).data == b"ok", seconds=15)


def test_an_attack_on_a_unix_socket_is_not_felt(folder, tmp_path):
    main = tmp_path / "main.sock"

    def ask():
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(main))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return client.recv(1000).endswith(b"ok")

    with (
        served(folder, "echo:app", cwd=folder, workers=1, threads=2, bind=f"unix:{main}") as here,
        attacked("dripping head", 300, 30, f"unix:{main}"),
    ):
        for _ in range(30):
            probe(here)
            assert ask()


@pytest.mark.parametrize("kind", ["idle", "dripping head", "pipelining"])
def test_with_64_descriptors_no_worker_dies(folder, kind):
    with limited(64):
        instance = served(folder, "echo:app", cwd=folder, workers=1, threads=2)
        service = instance.__enter__()
    with attacked(kind, 300, 2, address(service.main), "/file" if kind == "pipelining" else "/"):
        workers = service.workers()
        stands(service, honest=False)
    wait_until(lambda: get(f"{service.main}/", timeout=1).data == b"ok", seconds=3)
    assert service.workers() == workers
    instance.__exit__(None, None, None)


def test_when_the_budget_runs_out_the_oldest_is_closed_that_holds_a_part_of_it(folder):
    body = os.urandom(155_000)
    first, rest = post(body)[:150_000], post(body)[150_000:]
    with (
        served(folder, "echo:app", cwd=folder, workers=1, threads=2) as service,
        ExitStack() as opened,
    ):
        idle, *holders = (opened.enter_context(connected(service)) for _ in range(116))
        for holder in holders:
            holder.sendall(first)
        with suppress(ConnectionResetError):
            assert holders[0].recv(1) == b""
        idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answers(idle, 1) == [b"ok"]
        holders[-1].sendall(rest)
        assert answers(holders[-1], 1) == [body]


def test_a_stop_waits_for_no_client_that_does_not_read(folder):
    with (
        served(folder, "echo:app", cwd=folder, workers=1, graceful_seconds=2) as service,
        attacked("not reading", 20, 30, address(service.main), "/big"),
    ):
        stands(service, honest=False, seconds=0.5)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(5) == 0


# Behaviour of gunicorn on which the gate relies, and which it must not change.


def connected(service):
    host, port = address(service.main).split(":")
    return socket.create_connection((host, int(port)), 10)


@pytest.fixture
def client(service):
    with connected(service) as client:
        yield client


def answers(client, count):
    """Reads the bodies of so many answers that have a Content-Length."""
    stream = client.makefile("rb")
    return [_answer(stream) for _ in range(count)]


def _answer(stream):
    length = 0
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        length = int(value) if name == b"Content-Length" else length
    return stream.read(length)


def post(body, *headers):
    lines = [b"POST / HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_pipelined_requests_are_answered_in_their_order(client):
    bodies = [b"first", b"second" * 1000, b"third"]
    client.sendall(b"".join(map(post, bodies)))
    assert answers(client, 3) == bodies


def test_a_kept_connection_serves_one_request_after_the_other(client):
    for body in (b"one", b"two", b"three"):
        client.sendall(post(body))
        assert answers(client, 1) == [body]


def test_a_request_in_pieces_is_whole_in_the_end(client):
    request = post(b"x" * 3000)
    for start in range(0, len(request), 100):
        client.sendall(request[start : start + 100])
    assert answers(client, 1) == [b"x" * 3000]


@pytest.mark.parametrize("length", [100_000, 160 * 1024, 3_000_000])
def test_a_body_of_any_length_arrives_and_the_next_request_too(client, length):
    body = os.urandom(length)
    client.sendall(post(body) + post(b"next"))
    assert answers(client, 2) == [body, b"next"]


def test_a_chunked_body_arrives_and_the_next_request_too(client):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    client.sendall(head + b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n" + post(b"next"))
    assert answers(client, 2) == [b"abcdefg", b"next"]


def test_a_client_that_expects_a_hundred_gets_one_before_it_sends_its_body(client):
    client.sendall(post(b"late", b"Expect: 100-continue")[:-4])
    assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"late" + post(b"next"))
    assert answers(client, 2) == [b"late", b"next"]


def test_http_1_0_ends_with_its_answer(client):
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert b"".join(iter(lambda: client.recv(1000), b"")).endswith(b"\r\n\r\nok")


def test_a_client_that_has_closed_its_side_has_its_answer(client):
    client.sendall(post(b"half"))
    client.shutdown(socket.SHUT_WR)
    assert b"".join(iter(lambda: client.recv(1000), b"")).endswith(b"half")


def test_a_large_file_arrives_whole_however_late_it_is_read(client):
    client.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    assert [len(body) for body in answers(client, 3)] == [1_600_000] * 3
