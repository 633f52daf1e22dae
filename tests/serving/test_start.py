"""Promises before gunicorn starts: what cannot be served is refused in one line."""

import errno
import os
import select
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from petsage.address import Address
from petsage.config import Config
from petsage.serving.listeners import begin_no_connection, new_listeners
from petsage.serving.loading import ServeError
from tests.fakes import in_a_child
from tests.support import PETSAGE, environment_of, free_port


@contextmanager
def listening(main: Address, management: Address | None = None) -> Iterator[list[socket.socket]]:
    """Opens both listeners as a start does: the main and the management listener."""
    management = management or Address("127.0.0.1", free_port())
    with ExitStack() as stack:
        descriptors = new_listeners(Config(bind=main, management_bind=management), backlog=8)
        yield [stack.enter_context(socket.socket(fileno=one)) for one in descriptors]


def refused(main: Address, management: Address | None = None) -> str:
    """The one line of a start that cannot listen there."""
    with pytest.raises(ServeError) as caught, listening(main, management):
        pass
    (line,) = caught.value.problems
    return line


def test_a_taken_port_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        free = Address("127.0.0.1", free_port())
        line = f"cannot listen on {address}: the address is in use"
        assert refused(address) == refused(free, address) == line


def test_the_same_address_twice_is_refused():
    address = Address("127.0.0.1", free_port())
    assert refused(address, address) == (
        f"cannot listen on {address} twice: each listener needs its own"
    )


def test_two_addresses_that_overlap_are_refused():
    port = free_port()
    line = refused(Address("0.0.0.0", port), Address("127.0.0.1", port))
    assert line == f"cannot listen on 0.0.0.0:{port}: the address is in use"


def test_the_main_one_listens_last_so_that_a_start_that_fails_loses_no_request():
    with listening(Address("127.0.0.1", free_port())) as (main, management):
        assert management.fileno() < main.fileno()
        assert main.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_before_a_listener_closes_nobody_begins_to_connect_and_who_waits_is_accepted(host):
    address = Address(host, free_port(host))
    with listening(address) as (main, _), socket.create_connection((host, address.port)) as waiting:
        begin_no_connection(main)
        with socket.socket(main.family) as late:
            late.setblocking(False)
            late.connect_ex((host, address.port))
            waiting.sendall(b"request")
            accepted = main.accept()[0]
            assert accepted.recv(100) == b"request"
            accepted.close()
            main.setblocking(False)
            with pytest.raises(BlockingIOError):
                main.accept()
            main.close()
            assert select.select([], [late], [], 10)[1]
            assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def test_an_address_of_another_host_is_refused():
    assert refused(Address("192.0.2.77", 8000)).startswith("cannot listen on 192.0.2.77:8000: ")


def test_a_name_that_does_not_resolve_is_refused():
    line = refused(Address("nowhere.invalid", 8000))
    assert line.startswith("cannot listen on nowhere.invalid:8000: ")


def test_a_live_unix_socket_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "main.sock"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        assert refused(Address(path=str(path))) == (
            f"cannot listen on unix:{path}: the address is in use"
        )
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_live_unix_socket_that_takes_nobody_in_is_refused_at_once(tmp_path):
    path = tmp_path / "main.sock"
    with socket.socket(socket.AF_UNIX) as live, ExitStack() as waiting:
        live.bind(str(path))
        live.listen(0)
        while True:
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            if client.connect_ex(str(path)):
                break
        assert refused(Address(path=str(path))).endswith("the address is in use")


@pytest.mark.parametrize("mask", [0, 0o022, 0o777])
def test_a_dead_unix_socket_is_replaced_by_one_with_its_own_mode(tmp_path, mask):
    main, management = tmp_path / "main.sock", tmp_path / ("m" * (106 - len(str(tmp_path))))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(main))
    before = os.umask(mask)
    try:
        with listening(Address(path=str(main)), Address(path=str(management))):
            assert main.stat().st_mode & 0o777 == 0o666
            assert management.stat().st_mode & 0o777 == 0o600
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(main))
    finally:
        os.umask(before)


def test_a_socket_of_another_kind_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "main.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as live:
        live.bind(str(path))
        assert refused(Address(path=str(path))).endswith("the address is in use")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect(str(path))


def test_a_file_that_is_no_socket_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    assert refused(Address(path=str(path))).endswith("what is there is not a socket")
    assert path.read_text() == "data"


def test_a_folder_that_is_missing_is_refused(tmp_path):
    address = Address(path=f"{tmp_path}/nope/main.sock")
    assert refused(address) == f"cannot listen on {address}: No such file or directory"


def test_a_folder_that_is_not_writable_is_refused():
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        address = Address(path=f"{folder}/main.sock")
        assert refused_to_nobody(address) == f"cannot listen on {address}: Permission denied"


def test_a_live_socket_of_another_user_is_refused_and_left_alone():
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as live:
        Path(folder).chmod(0o777)
        address = Address(path=f"{folder}/main.sock")
        live.bind(address.path)
        Path(address.path).chmod(0o600)
        live.listen()
        assert refused_to_nobody(address) == f"cannot listen on {address}: the address is in use"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address.path)


def refused_to_nobody(address: Address) -> str:
    if os.geteuid():
        pytest.skip("it needs to be root, to become somebody else")

    def answer() -> str:
        os.setuid(65534)
        return refused(address)

    return in_a_child(answer)


def test_a_working_directory_that_is_gone_is_refused(tmp_path):
    gone = ["sh", "-c", 'mkdir gone; cd gone; rmdir ../gone; exec "$@"', "sh", PETSAGE, "serve"]
    done = subprocess.run(
        gone, cwd=tmp_path, env=environment_of({}), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (
        1,
        "petsage: the working directory cannot be used: No such file or directory\n",
    )


def test_an_application_that_cannot_be_loaded_is_refused(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("raise RuntimeError('hunter2')\n")
    done = subprocess.run(
        [PETSAGE, "serve", "shop.web:app"],
        cwd=tmp_path,
        env=environment_of({}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "petsage: 'shop.web:app' raised RuntimeError (shop:1)\n",
    )
