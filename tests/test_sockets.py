"""A socket is connected by its deadline, and is over at its deadline."""

import socket
import ssl
import time
from contextlib import closing
from pathlib import Path

import pytest

from petsage import sockets
from tests.certificates import Authority
from tests.hostile import context_of, dripping, hangs, server, swallowing
from tests.support import free_port


def test_every_address_gets_its_share_of_the_time() -> None:
    port = free_port("127.0.0.4")
    swallowers = ("127.0.0.2", "127.0.0.3")
    with (
        swallowing("127.0.0.2", port),
        swallowing("127.0.0.3", port),
        socket.create_server(("127.0.0.4", port)),
    ):
        deadline = time.monotonic() + 1.5
        sock, address = sockets.connect((*swallowers, "127.0.0.4"), port, deadline)
        sock.close()
        assert address == "127.0.0.4"
        assert time.monotonic() < deadline
        with pytest.raises(TimeoutError):
            sockets.connect(swallowers, port, time.monotonic() + 0.4)


def test_a_deadline_that_is_past_gives_nobody_any_time() -> None:
    past = time.monotonic() - 1
    with pytest.raises(TimeoutError):
        sockets.connect(("127.0.0.1",), free_port(), past)


@pytest.mark.parametrize("name", ["a..b", "a" * 64 + ".example"])
def test_a_name_that_cannot_be_one_is_an_error_of_the_system(name: str) -> None:
    with pytest.raises(OSError, match="the name is not valid"):
        sockets.addresses_of(name)


def test_a_connection_is_shut_down_at_the_deadline_whatever_a_driver_does_with_it() -> None:
    with dripping(b"x") as port:
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="timed out"):
            _drive(port, began + 0.3)
        assert 0.3 <= time.monotonic() - began < 3


def test_a_connection_that_a_driver_puts_tls_around_is_shut_down_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = _trusting(authority)
    with server(hangs, tls=context_of(authority, "pets")) as hung:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            _drive(hung.port, began + 0.5, context)
        assert time.monotonic() - began < 3


def test_what_a_driver_raises_in_time_stays_as_it_is() -> None:
    with dripping(b"x") as port, pytest.raises(ssl.SSLError):
        _drive(port, time.monotonic() + 30, ssl.create_default_context())


def _drive(port: int, deadline: float, tls: ssl.SSLContext | None = None) -> None:
    """Reads as a driver does that waits for ever, or that bounds each read but not their sum."""
    with (
        sockets.opened("127.0.0.1", port, deadline) as sock,
        sockets.shut_down_at(sock, deadline),
        closing(tls.wrap_socket(sock, server_hostname="pets") if tls else sock) as sock,
    ):
        sock.settimeout(None)
        while sock.recv(1):
            pass
        raise ValueError("the connection is lost")


def _trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.ca)


def test_small_pieces_are_sent_without_waiting_for_the_peer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        sock, _ = sockets.connect(("127.0.0.1",), port, time.monotonic() + 5)
        with sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
