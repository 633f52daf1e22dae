"""Promises of sockets that are handed over: the configured two serve, others are refused."""

import socket
import subprocess
from contextlib import ExitStack

import pytest

from tests.support import PETSAGE, environment_of, free_port, get, handing_over, served


@pytest.fixture
def stack():
    """Closes the sockets that a test has opened."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def listening(stack):
    """Opens a listening socket, as systemd would."""

    def listening(address="127.0.0.1"):
        if "/" in address:
            opened = stack.enter_context(socket.socket(socket.AF_UNIX))
            opened.bind(address)
            opened.listen()
            return opened
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return stack.enter_context(socket.create_server((address, 0), family=family))

    return listening


def place(listener):
    """The address of a socket, in the form of the configuration."""
    name = listener.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def started_with(sockets, owner="", **settings):
    """The output of a `petsage serve` that refuses these sockets."""
    done = subprocess.run(
        [*handing_over(sockets, owner), PETSAGE, "serve"],
        env=environment_of({"graceful_seconds": 1}) | settings,
        pass_fds=[one.fileno() for one in sockets],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def refused(sockets, main, management, **settings):
    """The part about the sockets in the one line that refuses them."""
    settings |= {"PETSAGE_BIND": main, "PETSAGE_MANAGEMENT_BIND": management}
    code, error = started_with(sockets, **settings)
    start = "petsage: the sockets handed over are "
    end = f"; PETSAGE_BIND needs one at {main}, PETSAGE_MANAGEMENT_BIND one at {management}\n"
    assert (code, error[: len(start)], error[-len(end) :]) == (78, start, end)
    return error[len(start) : -len(end)]


@pytest.mark.parametrize(("host", "order"), [("127.0.0.1", 1), ("::1", -1)])
def test_two_sockets_serve_whatever_their_order(tmp_path, listening, host, order):
    main, management = listening(host), listening(host)
    settings = {"bind": place(main), "management_bind": place(management)}
    with served(tmp_path, handed=[main, management][::order], **settings) as service:
        assert get(f"{service.main}/readyz").data == b"ok\n"
        assert get(f"{service.management}/status").status == 200


def test_a_host_that_is_a_name_is_what_it_resolves_to(tmp_path, listening):
    main, management = listening(), listening()
    bind = place(main).replace("127.0.0.1", "localhost")
    handed = [main, management]
    with served(tmp_path, handed=handed, bind=bind, management_bind=place(management)) as service:
        assert get(f"{service.main}/readyz").status == 200


def test_the_path_of_a_unix_socket_outlives_the_service_with_its_mode(tmp_path, listening):
    path = tmp_path / "main.sock"
    main, management = listening(str(path)), listening()
    path.chmod(0o640)
    settings = {"bind": place(main), "management_bind": place(management)}
    with served(tmp_path, handed=[main, management], **settings):
        assert path.stat().st_mode & 0o777 == 0o640
    assert path.is_socket()


def test_one_of_two_is_refused(listening):
    main, port = listening(), free_port()
    assert refused([main], place(main), f"127.0.0.1:{port}") == place(main)


def test_the_same_one_twice_is_refused(listening):
    main, port = listening(), free_port()
    places = refused([main, main], place(main), f"127.0.0.1:{port}")
    assert places == f"{place(main)}, {place(main)}"


def test_one_too_many_is_refused(listening):
    three = [listening() for _ in range(3)]
    assert refused(three, *map(place, three[:2])) == ", ".join(map(place, three))


def test_one_that_is_elsewhere_is_refused(listening):
    main, management = listening(), listening()
    wanted = f"127.0.0.1:{free_port()}"
    assert refused([main, management], wanted, place(management)).startswith(place(main))


def test_one_that_does_not_listen_is_refused(stack, listening):
    main = listening()
    udp = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    udp.bind(("127.0.0.1", 0))
    assert refused([main, udp], place(main), place(udp)) == (
        f"{place(main)}, one that does not listen"
    )


def test_one_that_has_no_streams_is_refused(stack, listening, tmp_path):
    main, path = listening(), tmp_path / "main.sock"
    packets = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    packets.bind(str(path))
    packets.listen()
    assert refused([packets, main], f"unix:{path}", place(main)) == (
        f"one of another kind, {place(main)}"
    )


def test_one_that_is_closed_or_no_socket_is_refused(stack, listening, tmp_path):
    main, port = listening(), free_port()
    with (tmp_path / "file").open("w") as file:
        places = refused([main, file], place(main), f"127.0.0.1:{port}", LISTEN_FDS="12")
    assert places.startswith(f"{place(main)}, none (Socket operation on non-socket), ")
    assert places.endswith(", none (Bad file descriptor)")


@pytest.mark.parametrize("number", ["many", "-1", "\u00b2", "9" * 5000])
def test_a_listen_fds_that_is_no_number_is_refused_in_one_line(listening, number):
    main, management = listening(), listening()
    assert refused([main, management], place(main), place(management), LISTEN_FDS=number)


def test_those_of_another_process_are_left_alone(listening):
    main, management = listening(), listening()
    settings = {"PETSAGE_BIND": place(main), "PETSAGE_MANAGEMENT_BIND": place(management)}
    code, error = started_with([main, management], owner="1", **settings)
    assert (code, error) == (
        1,
        f"petsage: cannot listen on {place(management)}: the address is in use\n",
    )
