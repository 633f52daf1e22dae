"""Promises of the condition that workers finish requests: busy is not stuck, idle is not stuck."""

import socket
import threading

import pytest

from petsage.address import Address
from petsage.management.workers import Workers, ask
from tests.fakes import ManualClock, in_a_child, without_threads
from tests.support import free_port, wait_until


class MainListener:
    """What is asked: first it raises its errors, then it answers, or lets the ask wait."""

    def __init__(self):
        self.asks = 0
        self.errors = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self):
        self.asks += 1
        if self.errors:
            raise self.errors.pop(0)
        assert self.go.wait(30)


@pytest.fixture
def listener():
    listener = MainListener()
    yield listener
    listener.go.set()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def verdict(listener, scoreboard, clock):
    """What a probe gets now."""
    reasons = Workers(listener, scoreboard, clock, stuck_seconds=120).condition().reasons
    return lambda probe: reasons()[probe]


def settled(verdict, listener, asks):
    wait_until(lambda: listener.asks == asks)
    wait_until(lambda: "ask workers" not in [t.name for t in threading.enumerate()])


def test_an_ask_that_is_answered_says_nothing_is_stuck(verdict, listener, clock):
    for asks in range(1, 5):
        assert verdict("live") == verdict("ready") == ""
        settled(verdict, listener, asks)
        clock.time += 200


def test_an_idle_hour_is_not_stuck(verdict, listener, clock):
    assert verdict("live") == ""
    settled(verdict, listener, 1)
    clock.time += 3600
    assert verdict("live") == verdict("ready") == ""


def test_without_a_finished_request_readiness_fails_first_and_liveness_later(
    verdict, listener, clock
):
    listener.go.clear()
    assert verdict("live") == verdict("ready") == ""
    clock.time += 4.9
    assert verdict("ready") == ""
    clock.time += 0.1
    assert verdict("ready") == "no worker has finished a request for 5 s"
    assert verdict("live") == ""
    clock.time += 115
    assert verdict("live") == "no worker has finished a request for 120 s"


def test_busy_is_not_stuck(verdict, listener, clock, scoreboard):
    listener.go.clear()
    for _ in range(100):
        assert verdict("live") == verdict("ready") == ""
        clock.time += 4
        scoreboard.finished_at = clock.time - 1
    assert listener.asks == 1


@pytest.mark.parametrize(
    "error",
    [TimeoutError(), ConnectionResetError(), BrokenPipeError(), BlockingIOError()],
    ids=lambda error: type(error).__name__,
)
def test_an_ask_without_an_answer_is_asked_again_and_counts_as_waiting(
    verdict, listener, clock, error
):
    clock.patience_seconds = 0
    listener.errors = [error, error]
    listener.go.clear()
    assert verdict("live") == ""
    wait_until(lambda: listener.asks == 3)
    clock.time += 120
    assert verdict("live").startswith("no worker has finished a request for 12")
    listener.go.set()
    wait_until(lambda: verdict("live") == "")


def test_what_an_ask_has_waited_does_not_outlive_it(verdict, listener, clock):
    listener.errors = [TimeoutError()]  # a worker kept it, and was killed: the next one answers
    assert verdict("live") == ""
    settled(verdict, listener, 2)
    clock.time += 3600
    assert verdict("live") == verdict("ready") == ""


def test_where_nobody_listens_nothing_waits(verdict, listener, clock):
    listener.errors = [ConnectionRefusedError()]
    assert verdict("live") == ""
    settled(verdict, listener, 1)
    clock.time += 3600
    assert verdict("live") == ""


def test_a_system_without_threads_is_not_taken_for_stuck_workers(scoreboard, clock):
    reasons = Workers(lambda: None, scoreboard, clock, 120).condition().reasons

    def live():
        without_threads()
        reasons()
        clock.time += 1000
        return reasons()["live"]

    assert in_a_child(live) == ""


def test_it_recovers_by_itself(verdict, listener, clock):
    listener.go.clear()
    assert verdict("live") == ""
    clock.time += 500
    assert verdict("live") != ""
    listener.go.set()
    wait_until(lambda: verdict("live") == "")


def test_asking_about_the_workers_is_free(verdict, listener, clock):
    for _ in range(1000):
        verdict("live")
        verdict("ready")
    settled(verdict, listener, 1)
    assert listener.asks == 1


def test_startup_waits_for_the_first_answer(verdict, scoreboard):
    assert verdict("startup") == "no worker has answered yet"
    scoreboard.finished_at = 7.0
    assert verdict("startup") == ""


def test_stuck_seconds_zero_is_never_stuck(listener, scoreboard, clock):
    listener.go.clear()
    reasons = Workers(listener, scoreboard, clock, stuck_seconds=0).condition().reasons
    assert reasons()["live"] == ""
    clock.time += 1e6
    assert reasons()["live"] == ""


def served_once(listener, answer):
    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize("answer", [b"HTTP/1.1 404 Not Found\r\n\r\n", b"HTTP/1.1 500 \r\n\r\n"])
def test_any_answer_counts_over_tcp_and_over_a_unix_socket(tmp_path, answer):
    tcp, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "main.sock"))
    unix.listen()
    for listener, address in (
        (tcp, Address("0.0.0.0", tcp.getsockname()[1])),
        (unix, Address(path=str(tmp_path / "main.sock"))),
    ):
        with listener:
            thread = served_once(listener, answer)
            ask(address)
            thread.join(10)


def test_no_answer_is_an_error(tmp_path):
    with pytest.raises(ConnectionRefusedError):
        ask(Address("127.0.0.1", free_port()))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = served_once(listener, b"")
        with pytest.raises(ConnectionResetError):
            ask(Address("127.0.0.1", listener.getsockname()[1]))
        thread.join(10)
