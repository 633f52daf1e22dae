"""Promises of a client's socket as a thread sees it: no client holds the thread for long."""

import os
import resource
import select
import socket
import tempfile
import threading
from pathlib import Path

import pytest

from petsage.serving.connection import UNSENT_BYTES, ClientSocket, allowed_seconds
from petsage.serving.gate import most_connections
from tests.fakes import in_a_child


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    crowded = threading.Event()
    client = ClientSocket(ours, crowded.is_set)
    theirs.settimeout(10)
    with theirs:
        yield client, theirs, crowded
        client.dispose()


def received(client, theirs, count):
    """What arrives at the client while the main loop flushes."""
    data = b""
    while len(data) < count:
        client.flush()
        data += theirs.recv(1 << 20)
    return data


def descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_the_last_part_of_an_answer_waits_without_the_thread(pair):
    client, theirs, _ = pair
    answer = os.urandom(UNSENT_BYTES)
    client.sendall(answer)
    client.sendall(b"the end")
    assert client.has_unsent
    assert received(client, theirs, len(answer) + 7) == answer + b"the end"
    assert not client.has_unsent


def test_many_small_pieces_wait_in_the_space_of_one(pair):
    client, _, _ = pair
    client.sendall(bytes(UNSENT_BYTES))
    while client.unsent_bytes < UNSENT_BYTES:
        client.sendall(b"x")
    assert len(client._unsent) == 1


def test_a_long_answer_keeps_its_thread_until_the_client_has_taken_most_of_it(pair):
    client, theirs, _ = pair
    answer = os.urandom(8 * UNSENT_BYTES)
    thread = threading.Thread(target=client.sendall, args=(answer,), daemon=True)
    thread.start()
    data = b""
    while thread.is_alive():  # it may end meanwhile, with nothing left to read
        data += theirs.recv(65536) if select.select([theirs], [], [], 0.1)[0] else b""
    assert client.unsent_bytes <= UNSENT_BYTES
    assert data + received(client, theirs, len(answer) - len(data)) == answer


@pytest.mark.parametrize("act", ["reads", "sends"])
def test_a_slow_client_is_cut_off_once_others_wait(pair, act):
    client, _, crowded = pair
    crowded.set()
    with pytest.raises(ConnectionResetError):
        client.recv(1) if act == "reads" else client.sendall(bytes(100 * UNSENT_BYTES))


def test_a_read_has_its_own_limit_too(pair):
    client, _, _ = pair
    client.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.recv(1)


def test_a_head_waits_for_the_first_piece_of_its_body(pair):
    client, theirs, _ = pair
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    client.sendall(b"ok")
    assert theirs.recv(1000) == b"HTTP/1.1 200 OK\r\n\r\nok"


@pytest.mark.parametrize("status", [b"100 Continue", b"103 Early Hints"])
def test_an_informational_head_waits_for_nothing(pair, status):
    client, theirs, _ = pair
    client.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
    assert theirs.recv(1000) == b"HTTP/1.1 " + status + b"\r\n\r\n"


def test_a_head_without_a_body_is_sent_in_the_end(pair):
    client, theirs, _ = pair
    client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    client.send_head()
    assert theirs.recv(1000) == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_a_file_waits_by_its_descriptor_without_the_thread(pair):
    client, theirs, _ = pair
    content = os.urandom(3_000_000)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        client.sendfile(file, 10, len(content) - 10)
    client.sendall(b"the end")
    whole = b"HTTP/1.1 200 OK\r\n\r\n" + content[10:] + b"the end"
    assert received(client, theirs, len(whole)) == whole


def test_a_file_that_shrinks_ends_the_connection(pair):
    client, _, _ = pair
    with tempfile.TemporaryFile() as file:
        file.write(bytes(100))
        file.flush()
        with pytest.raises(ConnectionResetError):
            client.sendfile(file, 0, 200)


def test_a_connection_that_ends_takes_its_files_with_it(pair):
    client, _, _ = pair
    before = descriptors()
    with tempfile.TemporaryFile() as file:
        file.truncate(3_000_000)
        client.sendfile(file, 0, 3_000_000)
    assert descriptors() == before + 1
    client.dispose()
    assert descriptors() == before - 1


def test_a_thread_that_closes_it_leaves_the_descriptor_to_the_main_loop(pair):
    client, theirs, _ = pair
    client.close()
    assert client.fileno() >= 0
    assert theirs.recv(1) == b""


@pytest.mark.parametrize(("moved", "seconds"), [(0, 30), (30 * 1024, 30), (60 * 1024, 60)])
def test_a_body_or_an_answer_may_take_30_s_and_longer_only_at_1_kib_a_second(moved, seconds):
    assert allowed_seconds(moved) == seconds


@pytest.mark.parametrize(("descriptors", "most"), [(16, 8), (270, 200), (4096, 1000)])
def test_a_worker_holds_1000_connections_or_what_its_limit_leaves(descriptors, most):
    def connections():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
        return str(most_connections())

    assert in_a_child(connections) == str(most)
