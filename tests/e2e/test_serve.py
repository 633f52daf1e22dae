"""Promises of `petsage serve`, kept by a real gunicorn."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3

from tests.support import PETSAGE, environment_of, free_port, get, running, served, tool, wait_until

APPLICATION = """\

def app(environ, start_response):
    body = environ["PATH_INFO"].encode() + b" " + environ["wsgi.url_scheme"].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A PetSage that these tests share."""
    with served(tmp_path_factory.mktemp("serve"), workers=2, threads=4) as running:
        yield running


def raw(url, request):
    """Sends bytes, and reads until the end."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 30) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def curl(*arguments):
    return subprocess.check_output([tool("curl"), "-sS", *arguments], text=True)


def test_process_one_is_the_arbiter_itself(service):
    (parent,) = {Path(f"/proc/{pid}/stat").read_text().split()[3] for pid in service.workers()}
    assert int(parent) == service.process.pid


def test_each_listener_serves_its_own_side_only(service):
    assert get(f"{service.main}/api/v1/smoke-test").status == 200
    assert get(f"{service.main}/readyz?verbose").data == b"ok\n"
    assert get(f"{service.management}/readyz?verbose").data == b"[+]drain ok\n[+]workers ok\nok\n"
    assert get(f"{service.management}/api/v1/smoke-test").status == 404


def test_the_serving_process_loads_neither_the_prover_nor_the_builder(tmp_path):
    (tmp_path / "loaded.py").write_text(
        "import sys\n"
        "from petsage import create_app\n"
        "app = create_app()\n"
        "app.add_url_rule('/loaded', view_func=lambda: list(sys.modules))\n"
    )
    with served(tmp_path, "loaded:app", cwd=tmp_path, workers=1) as running:
        loaded = json.loads(get(f"{running.main}/loaded").data)
    assert "petsage.serving.worker" in loaded
    for room in ("petsage.rollout", "petsage.builder", "petsage.contract", "petsage.client"):
        assert importlib.util.find_spec(room)
        assert not [name for name in loaded if name.startswith(room)]


def test_ipv6_is_served(tmp_path):
    port = free_port("::1")
    with served(tmp_path, bind=f"[::1]:{port}", workers=1):
        assert get(f"http://[::1]:{port}/livez").data == b"ok\n"


def test_unix_sockets_are_served_and_gone_in_the_end(tmp_path):
    main, management = tmp_path / "main.sock", tmp_path / "management.sock"
    with served(
        tmp_path,
        bind=f"unix:{main}",
        management_bind=f"unix:{management}",
        workers=1,
        ready=lambda: management.is_socket(),
    ):
        ask = ("--retry", "9", "--retry-all-errors", "--unix-socket")
        assert curl(*ask, str(main), "http://localhost/livez") == "ok\n"
        assert "[+]workers ok" in curl(*ask, str(management), "http://localhost/readyz?verbose")
    assert not main.exists()
    assert not management.exists()


def test_any_wsgi_application_is_served_with_probes_beside_it_and_believes_no_client(tmp_path):
    (tmp_path / "shop.py").write_text(APPLICATION)
    with served(tmp_path, "shop:app", cwd=tmp_path) as running:
        forged = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "6.6.6.6"}
        assert get(f"{running.main}/basket", headers=forged).data == b"/basket http"
        assert b"[+]workers ok" in get(f"{running.management}/livez?verbose").data


def test_plain_gunicorn_serves_wsgi_py_with_probes_without_details(tmp_path):
    port = free_port()
    gunicorn = tool("gunicorn")
    command = [gunicorn, "--bind", f"127.0.0.1:{port}", "--log-level", "error", "wsgi:app"]
    with running(command, signal.SIGTERM, env=environment_of({})):
        wait_until(lambda: get(f"http://127.0.0.1:{port}/startupz").data == b"ok\n")
        assert get(f"http://127.0.0.1:{port}/api/v1/smoke-test").status == 200
        assert get(f"http://127.0.0.1:{port}/readyz?verbose").data == b"ok\n"


@pytest.mark.parametrize(("side", "threads"), [("main", 8), ("management", 16)])
def test_clients_that_stall_in_mid_request_are_cut_off(service, side, threads):
    url = getattr(service, side)
    before = len(service.log.read_text())
    host, _, port = url.removeprefix("http://").partition(":")
    with ExitStack() as stack:
        patience = 6 if side == "management" else 15  # a head may take 2 s there, and 10 s here
        stalled = [socket.create_connection((host, int(port)), patience) for _ in range(threads)]
        for client in map(stack.enter_context, stalled):
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        for _ in range(3):  # and it does not wait for them to close their side either
            assert get(f"{url}/livez", timeout=3 if side == "management" else 15).status == 200
        assert [client.recv(1) for client in stalled] == [b""] * threads
    assert "Traceback" not in service.log.read_text()[before:]


def test_an_applications_own_blocking_error_is_in_the_log(tmp_path):
    (tmp_path / "locked.py").write_text(
        "def app(environ, start_response):\n    raise BlockingIOError(11, 'a lock is held')\n"
    )
    with served(tmp_path, "locked:app", cwd=tmp_path, workers=1, ready=lambda: True) as running:
        wait_until(lambda: running.workers())
        wait_until(lambda: "Booting worker" in running.log.read_text())
        with pytest.raises(urllib3.exceptions.HTTPError):
            get(f"{running.main}/")
        wait_until(lambda: "a lock is held" in running.log.read_text())


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Id: a\x00b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Id: \x1b[31m\x08\r\n\r\n",
        b"<script>alert(1)</script> / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez\r\n\r\n",
    ],
)
def test_a_malformed_request_is_an_error_in_json_that_echoes_nothing(service, request_):
    head, _, body = raw(service.main, request_).partition(b"\r\n\r\n")
    code = int(head.split()[1])
    assert code == 400, head
    assert b"Content-Type: application/json" in head
    assert body == b'{"code":400,"status":"Bad Request"}\n'


def test_a_long_body_that_nobody_reads_is_no_obstacle(service):
    body = b"x" * 2_000_000
    request = b"POST /api/v1/smoke-test HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
    try:
        answer = raw(service.main, request + body)
    except ConnectionError:
        answer = b"HTTP/1.1 405"
    assert answer.startswith(b"HTTP/1.1 405")
    assert get(f"{service.main}/livez").data == b"ok\n"


def test_it_runs_from_any_folder_without_writing_there(tmp_path):
    with served(tmp_path.parent, cwd=tmp_path) as running:
        assert get(f"{running.main}/livez").status == 200
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["/status", "/readyz?verbose", "/metrics", "/", "/nope"])
def test_no_web_page_reads_the_management_listener_through_a_name_of_its_own(service, path):
    refused = get(f"{service.management}{path}", headers={"Host": "evil.example:8001"})
    assert (refused.status, refused.headers["Content-Type"]) == (421, "application/json")
    assert b"evil" not in refused.data
    assert get(f"{service.management}{path}").status == (404 if path == "/nope" else 200)


def test_a_management_listener_for_others_answers_to_every_name(tmp_path):
    port = free_port()
    ready = lambda: get(f"http://127.0.0.1:{port}/startupz").status == 200  # noqa: E731
    with served(tmp_path, workers=1, management_bind=f"0.0.0.0:{port}", ready=ready):
        answer = get(f"http://127.0.0.1:{port}/readyz", headers={"Host": "petsage:8001"})
        assert answer.status == 200


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script_Name", "PATH_INFO", "REMOTE_ADDR"])
def test_a_header_that_is_named_like_a_variable_of_the_server_changes_nothing(service, name):
    assert get(f"{service.main}/livez", headers={name: "/elsewhere"}).data == b"ok\n"
    assert get(f"{service.management}/livez", headers={name: "/elsewhere"}).data == b"ok\n"


def test_gevent_that_has_patched_the_workers_is_refused_in_one_line(tmp_path):
    (tmp_path / "shop.py").write_text(
        "from gevent import monkey\nmonkey.patch_all()\ndef app(environ, start_response): ...\n"
    )
    done = started(tmp_path, "shop:app")
    assert done.returncode == 4
    assert "petsage: gevent.monkey has patched this process: PetSage serves by real" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "source",
    [
        "async def app(scope, receive, send): ...",
        "class App:\n    async def __call__(self, scope, receive, send): ...\napp = App()",
    ],
)
def test_an_asgi_application_is_refused_in_one_line(tmp_path, source):
    (tmp_path / "shop.py").write_text(source)
    for arguments, code in ((), 4), (("--test",), 1):
        done = started(tmp_path, *arguments, "shop:app")
        assert done.returncode == code
        assert "petsage: 'shop:app' is an ASGI application: PetSage serves WSGI" in done.stderr
        assert "Traceback" not in done.stderr


def started(folder, *arguments, before=(), **variables):
    """The result of a start that is refused."""
    addresses = {side: f"127.0.0.1:{free_port()}" for side in ("bind", "management_bind")}
    return subprocess.run(
        [*before, PETSAGE, "serve", *arguments],
        cwd=folder,
        env=environment_of({**addresses, "workers": 1}) | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_gunicorns_own_variable_is_refused_by_name(tmp_path):
    done = started(tmp_path, GUNICORN_CMD_ARGS="-k sync")
    assert (done.returncode, done.stderr) == (
        78,
        "petsage: GUNICORN_CMD_ARGS: not allowed: PETSAGE_* variables set everything\n",
    )


def test_a_full_shared_memory_is_refused_in_one_line(tmp_path):
    full = 'mount -t tmpfs -o nr_inodes=1 none /dev/shm && exec "$@"'
    done = started(tmp_path, before=("unshare", "-rm", "sh", "-c", full, "sh"))
    assert (done.returncode, done.stderr) == (
        1,
        "petsage: cannot write to /dev/shm: No space left on device\n",
    )


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_of_two_starts_at_once_on_one_address_one_is_refused_in_one_line(tmp_path, kind):
    main = f"127.0.0.1:{free_port()}" if kind == "tcp" else f"unix:{tmp_path}/main.sock"

    def start():
        management = f"127.0.0.1:{free_port()}"
        settings = {"bind": main, "management_bind": management, "workers": 1, "drain_seconds": 0}
        options = {"env": environment_of(settings), "stderr": subprocess.PIPE, "text": True}
        return running([PETSAGE, "serve"], signal.SIGTERM, 20, **options)

    with start() as one, start() as other:
        wait_until(lambda: {one.poll(), other.poll()} != {None}, seconds=20)
        refused = other if one.poll() is None else one
        assert refused.communicate()[1] == (
            f"petsage: cannot listen on {main}: the address is in use\n"
        )
        assert refused.returncode == 1
        assert {one.poll(), other.poll()} == {None, 1}


# As `sitecustomize` of a process, this makes its forks fail while a file exists.
FAILING_FORK = """\
import errno, os
fork = os.fork
def failing():
    if os.path.exists("no-fork"):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()
os.fork = failing
"""


def test_a_fork_that_fails_is_tried_again(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(FAILING_FORK)
    (tmp_path / "shop.py").write_text(APPLICATION)
    with served(tmp_path, "shop:app", project=tmp_path, workers=2) as service:
        wait_until(lambda: len(service.workers()) == 3)
        (tmp_path / "no-fork").touch()
        for worker in service.workers():
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: "No worker could be started" in service.log.read_text())
        (tmp_path / "no-fork").unlink()
        wait_until(lambda: len(service.workers()) == 3)
        wait_until(lambda: get(f"{service.management}/readyz").status == 200)
        assert get(f"{service.main}/basket").status == 200


def test_a_sigusr2_whose_fork_fails_ends_nothing(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(FAILING_FORK)
    (tmp_path / "shop.py").write_text(APPLICATION)
    with served(tmp_path, "shop:app", project=tmp_path, workers=1) as service:
        (tmp_path / "no-fork").touch()
        service.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: "SIGUSR2 failed: " in service.log.read_text())
        assert get(f"{service.main}/basket").status == 200


def test_a_sigusr2_that_finds_nothing_to_execute_ends_nothing(tmp_path):
    """The child of the failed fork must not act as the arbiter: it would stop the workers."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "shop.py").write_text(APPLICATION)
    with served(tmp_path, "shop:app", cwd=folder, workers=1) as service:
        workers = service.workers()
        shutil.rmtree(folder)  # where it would be executed
        service.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: "SIGUSR2 failed: " in service.log.read_text())
        wait_until(lambda: service.workers() == workers)
        assert get(f"{service.main}/basket").status == 200


# An application whose import fails while a file exists.
FRAIL = f"import os\nassert not os.path.exists('broken')\n{APPLICATION}"


def test_a_worker_that_cannot_boot_is_tried_again_once_another_has_served(tmp_path):
    (tmp_path / "shop.py").write_text(FRAIL)
    with served(tmp_path, "shop:app", cwd=tmp_path, workers=1) as service:
        (tmp_path / "broken").touch()
        for worker in service.workers():
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: "Worker failed to boot. Trying again." in service.log.read_text())
        (tmp_path / "broken").unlink()
        wait_until(lambda: get(f"{service.management}/readyz").status == 200)
        assert get(f"{service.main}/basket").status == 200


def test_a_worker_that_cannot_boot_ends_a_start(tmp_path):
    (tmp_path / "shop.py").write_text(FRAIL)
    (tmp_path / "broken").touch()
    assert started(tmp_path, "shop:app").returncode == 3


ODD = {
    "WEB_CONCURRENCY": "auto",
    "FORWARDED_ALLOW_IPS": "everybody",
    "PORT": "http",
    "GUNICORN_PID": "1",
    "GUNICORN_FD": "x",
    "LISTEN_FDS": "two",
    "LISTEN_PID": "me",
    "NOTIFY_SOCKET": "",
    "GUNICORN_CMD_ARGS": " ",
}


def test_variables_of_gunicorn_and_of_systemd_that_mean_nothing_are_left_alone(tmp_path):
    mirror = "import os\ndef app(environ, start_response):\n    start_response('200 OK', [])\n"
    mirror += "    return [os.environ.get('WEB_CONCURRENCY', '').encode()]\n"
    (tmp_path / "mirror.py").write_text(mirror)
    odd = [f"{name}={value}" for name, value in ODD.items()]
    with served(tmp_path, "mirror:app", cwd=tmp_path, before=["env", *odd], workers=1) as service:
        wait_until(lambda: get(f"{service.management}/readyz").status == 200)
        assert len(service.workers()) == 2
        assert get(f"{service.main}/").data == b"auto"


def test_without_standard_streams_the_log_is_written_to_no_client(tmp_path):
    (tmp_path / "shop.py").write_text(APPLICATION)
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    with served(tmp_path, "shop:app", cwd=tmp_path, before=closed, log_level="debug") as service:
        with urllib3.PoolManager(maxsize=1) as pool:
            for _ in range(20):
                assert pool.request("GET", f"{service.main}/basket").data == b"/basket http"
        for pid in (service.process.pid, *service.workers()):
            streams = [Path(f"/proc/{pid}/fd/{one}").readlink() for one in range(3)]
            assert streams == [Path("/dev/null")] * 3


def test_gunicorns_mount_point_is_the_main_listeners_alone(tmp_path):
    (tmp_path / "shop.py").write_text(APPLICATION)
    mounted = ["env", "SCRIPT_NAME=/shop"]
    with served(tmp_path, "shop:app", cwd=tmp_path, before=mounted, workers=1) as service:
        assert get(f"{service.main}/shop/basket").data == b"/basket http"
        assert get(f"{service.management}/readyz").status == 200


def test_a_unix_socket_that_somebody_has_removed_does_not_hold_up_a_stop(tmp_path):
    path = tmp_path / "main.sock"
    with served(tmp_path, bind=f"unix:{path}", workers=1, drain_seconds=0.1) as service:
        path.unlink()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(10) == 0
        assert "Traceback" not in service.log.read_text()
