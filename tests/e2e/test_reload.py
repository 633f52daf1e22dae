"""Promises of a reload: the new code is proven first, then answers, and nothing is lost between."""

import os
import shutil
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.slow import APPLICATION
from tests.support import PETSAGE, environment_of, free_port, get, holders, served, wait_until

UNWELL = """
from flask import Flask
from petsage import Check, health

def unwell():
    raise RuntimeError("pets are asleep")

app = Flask(__name__)
health.init_app(app, [Check("pets", unwell, probes={"startup"})])
"""

PATCHED = """
import sys
from types import SimpleNamespace

sys.modules["gevent.monkey"] = SimpleNamespace(saved={"threading": {}})


def app(environ, start_response):
    return []
"""


def deploy(folder, version, code=APPLICATION):
    """Replaces the old code by new code."""
    # Python notices a change within a second only by the file's size, so versions differ in length.
    (folder / "shop.py").write_text(f"VERSION = {version!r}\n{code}")


@pytest.fixture
def folder(tmp_path):
    """The folder of the application, which is version "1" at first."""
    folder = tmp_path / "code"
    folder.mkdir()
    deploy(folder, "1")
    return folder


@pytest.fixture
def serve(tmp_path, folder):
    """Serves the application."""

    @contextmanager
    def serve(**settings):
        settings = {"workers": 1, "threads": 2, "graceful_seconds": 20, **settings}
        with served(tmp_path, "shop:app", cwd=folder, **settings) as running:
            wait_until(lambda: said(running, "answers") == 1)
            yield running

    return serve


def said(service, words):
    """How often the log has these words."""
    return service.log.read_text().count(words)


def hang_up(service):
    service.process.send_signal(signal.SIGHUP)


def reload(service):
    """Reloads with success; returns when the log says so."""
    before = said(service, " answers")
    hang_up(service)
    wait_until(lambda: said(service, " answers") > before, seconds=20)


def reason(service):
    """Tries a reload that is refused; returns the reason."""
    before = said(service, "Reload refused")
    hang_up(service)
    wait_until(lambda: said(service, "Reload refused") > before, seconds=20)
    text = service.log.read_text().rpartition("Reload refused, the old code goes on: ")[2]
    line, end, _ = text.partition("\n")
    assert end
    return line


def version(service):
    return get(f"{service.main}/").data.decode()


def whole(service, workers=1):
    """Whether there are one probe worker, so many application workers, and no other process."""

    def holds():
        return (
            len(holders(service, service.management)) == 1
            and len(holders(service, service.main)) == workers
            and len(service.workers()) == workers + 1
        )

    return wait_until(holds)


def test_the_new_code_answers_in_the_same_process_and_the_old_finishes_what_it_has(
    serve, folder, tmp_path
):
    gate = tmp_path / "gate"
    with serve() as service, ThreadPoolExecutor() as clients:
        old = set(service.workers())
        slow = clients.submit(get, f"{service.main}/?{gate}", timeout=30)
        wait_until(lambda: busy(service))
        deploy(folder, "22")
        reload(service)
        assert service.process.poll() is None
        assert {version(service) for _ in range(20)} == {"22"}
        assert not slow.done()
        gate.touch()
        assert slow.result().data == b"1"
        assert whole(service)
        assert not old & set(service.workers())


def busy(service):
    """Whether an application worker holds a connection."""
    (worker,) = holders(service, service.main)
    port = f":{int(service.main.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == "01"}
    return inodes & {str(entry.readlink()) for entry in Path(f"/proc/{worker}/fd").iterdir()}


def test_code_that_does_not_hold_is_refused_in_one_line_and_the_old_goes_on(serve, folder):
    with serve() as service:
        workers = service.workers()
        deploy(folder, "22", UNWELL)
        assert reason(service) == "startup check 'pets' failed: raised RuntimeError (shop:7)"
        deploy(folder, "22", "import os; os.abort()")
        assert reason(service) == "exit code -6"
        deploy(folder, "22", "import os; os._exit(0)")  # before it has a verdict
        assert reason(service) == "exit code 0"
        assert version(service) == "1"
        assert service.workers() == workers
        deploy(folder, "333")
        reload(service)
        assert version(service) == "333"


def test_a_test_that_hangs_is_ended_by_the_kernel(serve, folder, tmp_path):
    left = tmp_path / "left"
    with serve() as service:
        hanging = f"""
            import signal
            open({str(left)!r}, "w").write(str(signal.alarm(1)))
            while True: pass
        """
        deploy(folder, "22", "\n".join(line.strip() for line in hanging.splitlines()))
        assert reason(service) == "the test takes too long"
        assert 55 <= int(left.read_text()) <= 60
        assert version(service) == "1"


def test_a_working_directory_that_is_gone_is_refused(serve, folder):
    with serve() as service:
        shutil.rmtree(folder)
        assert "No such file or directory" in reason(service)
        assert version(service) == "1"


def test_no_request_fails_and_no_probe_while_reloads_follow_each_other(serve, folder):
    over, probes, versions = threading.Event(), set(), set()

    def ask():
        while not over.is_set():
            probes.add(get(f"{service.management}/readyz").data)
            versions.add(version(service))

    with serve() as service, ThreadPoolExecutor() as clients:
        asking = [clients.submit(ask) for _ in range(4)]
        try:
            for number in (2, 3):
                deploy(folder, str(number) * number)
                reload(service)
        finally:
            over.set()
        for one in asking:
            one.result()
        assert probes == {b"ok\n"}
        assert versions == {"1", "22", "333"}


def boot_slowly(service, folder, gate):
    """A reload to version "22", whose workers boot only once a file exists."""
    slow = f"""
import os, sys, time
while "--test" not in sys.argv and not os.path.exists({str(gate)!r}):
    time.sleep(0.01)
{APPLICATION}"""
    deploy(folder, "22", slow)
    hang_up(service)
    wait_until(lambda: said(service, "Booting worker") == 4, seconds=20)


def test_the_old_code_answers_until_the_new_has_booted(serve, folder, tmp_path):
    gate = tmp_path / "gate"
    with serve() as service:
        boot_slowly(service, folder, gate)
        for _ in range(200):  # longer than a worker may take to be stopped
            assert version(service) == "1"
            assert get(f"{service.management}/readyz").status == 200
        gate.touch()
        wait_until(lambda: said(service, " answers") == 2)
        assert version(service) == "22"


def test_ten_signals_in_a_row_end_in_one_instance_of_the_newest_code(serve, folder):
    with serve() as service:
        for number in range(10):
            deploy(folder, "2" * (number + 2))
            hang_up(service)
        at_once = set()

        def answers():
            at_once.add(len(proving(service)))
            return version(service) == "2" * 11

        wait_until(answers, seconds=20)
        assert at_once <= {0, 1}
        assert whole(service)


def test_a_signal_while_the_new_code_boots_is_not_lost(serve, folder):
    with serve() as service:
        deploy(folder, "22")
        hang_up(service)
        wait_until(lambda: said(service, "executes it"), seconds=20)
        deploy(folder, "333")
        hang_up(service)
        wait_until(lambda: version(service) == "333", seconds=20)
        assert whole(service)


@pytest.mark.parametrize("when", ["Testing the new code", "executes it"])
def test_a_stop_in_the_midst_of_a_reload_is_a_stop(serve, when):
    with serve(drain_seconds=0.5) as service:
        hang_up(service)
        wait_until(lambda: said(service, when), seconds=20)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0
        assert said(service, "Draining") == 1


def test_a_drain_before_the_new_code_has_booted_is_never_ready_and_loses_nothing(
    serve, folder, tmp_path
):
    gate = tmp_path / "gate"
    with serve(drain_seconds=60) as service, ThreadPoolExecutor() as clients:
        boot_slowly(service, folder, gate)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: len(service.workers()) == 2)  # the old ones are gone
        readiness = clients.submit(get, f"{service.management}/readyz", timeout=30)
        answer = clients.submit(get, f"{service.main}/", timeout=30)
        gate.touch()
        assert readiness.result().status == 503
        assert answer.result().data == b"22"
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0


def test_new_code_whose_workers_cannot_boot_leaves_the_old_serving(serve, folder):
    with serve() as service:
        deploy(folder, "22", f"import sys\nassert '--test' in sys.argv\n{APPLICATION}")
        hang_up(service)
        wait_until(lambda: said(service, "Worker failed to boot. Trying again."), seconds=20)
        assert version(service) == "1"
        assert get(f"{service.management}/readyz").status == 200
        deploy(folder, "333")
        reload(service)
        assert version(service) == "333"
        assert whole(service)


def test_a_stop_in_the_midst_of_a_test_leaves_no_test_behind(serve, folder):
    with serve() as service:
        deploy(folder, "22", "while True: pass")
        hang_up(service)
        (test,) = wait_until(lambda: proving(service))
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0
        assert not command(test)


def test_a_stop_that_comes_with_the_end_of_the_test_is_a_stop(serve):
    with serve(drain_seconds=0.1) as service:
        hang_up(service)
        (test,) = wait_until(lambda: proving(service))
        service.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: state(test) == "Z", seconds=20)
        service.process.send_signal(signal.SIGTERM)
        service.process.send_signal(signal.SIGCONT)
        assert service.process.wait(20) == 0
        assert said(service, "executes it")


def proving(service):
    """The children that test new code."""
    return [pid for pid in service.workers() if b"--test" in command(pid).split(b"\0")]


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_stop_waits_for_what_the_old_code_has_not_finished(serve, tmp_path):
    gate = tmp_path / "gate"
    with serve(drain_seconds=0.1) as service, ThreadPoolExecutor() as clients:
        slow = clients.submit(get, f"{service.main}/?{gate}", timeout=30)
        wait_until(lambda: busy(service))
        reload(service)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: said(service, "Handling signal: alrm"))
        gate.touch()
        assert slow.result().data == b"1"
        assert service.process.wait(20) == 0


def test_during_a_drain_a_reload_is_refused(serve):
    with serve(drain_seconds=30) as service:
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: said(service, "Draining"))
        assert reason(service) == "the instance is stopping"


def test_beside_a_usr2_child_a_reload_is_refused(serve):
    with serve() as service:
        service.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: said(service, "Starting gunicorn") == 2)
        try:
            assert reason(service) == "SIGUSR2 has started another arbiter"
        finally:
            os.killpg(service.process.pid, signal.SIGINT)


def test_after_a_reload_usr2_is_refused_in_one_line_that_names_the_reload(serve):
    with serve() as service:
        reload(service)
        service.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: said(service, "SIGUSR2 refused: the sockets were handed over; SIGHUP"))
        assert whole(service)


def test_descriptors_do_not_pile_up(serve):
    with serve() as service:
        reload(service)
        once = len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))
        reload(service)
        wait_until(lambda: len(list(Path(f"/proc/{service.process.pid}/fd").iterdir())) == once)


def test_an_old_worker_that_does_not_react_is_killed(serve):
    with serve(graceful_seconds=1) as service:
        old = service.workers()
        for worker in old:
            os.kill(worker, signal.SIGSTOP)
        reload(service)
        assert whole(service)
        assert not set(old) & set(service.workers())


def test_the_path_of_its_own_unix_socket_serves_on_and_goes_in_the_end(tmp_path, folder):
    path = tmp_path / "main.sock"
    with served(tmp_path, "shop:app", cwd=folder, bind=f"unix:{path}", workers=1) as service:
        wait_until(lambda: said(service, " answers"))
        reload(service)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        assert path.stat().st_mode & 0o777 == 0o666
    assert not path.exists()


def proof(folder, *arguments, **settings):
    """The exit code, standard output and standard error of `petsage serve --test`."""
    done = subprocess.run(
        [PETSAGE, "serve", "--test", *arguments],
        cwd=folder,
        env=environment_of(settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise RuntimeError('hunter2')", "'shop:app' raised RuntimeError (shop:2)"),
        ("raise SystemExit(0)", "'shop:app' raised SystemExit (shop:2)"),
        (PATCHED, "gevent.monkey has patched this process: PetSage serves by real threads"),
        (UNWELL, "startup check 'pets' failed: raised RuntimeError (shop:7)"),
    ],
    ids=lambda text: text.strip().partition("\n")[0],
)
def test_the_test_says_in_one_line_what_does_not_hold(folder, code, words):
    deploy(folder, "22", code)
    assert proof(folder, "shop:app") == (1, "", f"petsage: {words}\n")


def test_the_test_alone_takes_no_address_and_exits_with_0_1_or_78(folder):
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        held = proof(folder, "shop:app", bind=bind, release="r7")
        assert held == (0, "release r7 could be served\n", "")
    assert proof(folder)[0] == 0
    assert proof(folder, workers=0) == (
        78,
        "",
        "petsage: PETSAGE_WORKERS: must be a whole number from 1 to 1024\n",
    )
